import { ConflictError, UnavailableError } from '#shared/errors.ts'
import { driverOf } from '../drivers/drivers.ts'
import type { VmRecord } from '../model.ts'

/** @throws ConflictError for a guest whose next start restores a saved memory: it would not have the change */
export async function requireNotSaved(vm: VmRecord, action: string): Promise<void> {
  // A node that does not answer is told by the change itself.
  if (!(await unlessUnavailable(driverOf(vm).hostState?.isSaved(vm)))) return
  throw new ConflictError(
    `The memory of virtual machine '${vm.id}' is saved on its node, and its next start restores it with the hardware of then. To ${action} it, start it and shut it down first, or discard the memory with virsh managedsave-remove`,
    { details: { saved: true } },
  )
}

const unlessUnavailable = async (asked: Promise<boolean> | undefined): Promise<boolean> => {
  try {
    return (await asked) ?? false
  } catch (error) {
    if (error instanceof UnavailableError) return false
    throw error
  }
}

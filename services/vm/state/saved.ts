import { ConflictError } from '#shared/errors.ts'
import { driverOf } from '../drivers/drivers.ts'
import type { VmRecord } from '../model.ts'

/** @throws ConflictError for a guest whose next start restores a saved memory: it would not have the change */
export async function requireNotSaved(vm: VmRecord, action: string): Promise<void> {
  if (!(await driverOf(vm).hostState?.isSaved(vm))) return
  throw new ConflictError(
    `The memory of virtual machine '${vm.id}' is saved on its node, and its next start restores it with the hardware of then. To ${action} it, start it and shut it down first, or discard the memory with virsh managedsave-remove`,
    { details: { saved: true } },
  )
}

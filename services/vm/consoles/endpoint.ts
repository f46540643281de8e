import type { ConsoleType, Endpoint } from '#shared/contracts/vm/consoles.ts'
import { requirePart } from '../drivers/drivers.ts'
import type { VmRecord } from '../model.ts'
import { requireStatus, settle } from '../state/status.ts'

/** Finds a console of a guest that runs. @throws ConflictError when the guest is off or has no such console; UnavailableError */
export async function endpointOf(vm: Pick<VmRecord, 'id'>, type: ConsoleType): Promise<Endpoint> {
  const found = await settle(vm.id)
  requireStatus(found, 'open the console of', ['running', 'paused'])
  const lack = (hypervisor: string) => `A virtual machine of ${hypervisor} has no consoles that Horcrux reaches`
  return requirePart(found, 'consoles', lack).find(found, type)
}

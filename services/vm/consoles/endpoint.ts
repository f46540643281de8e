import type { ConsoleType, Endpoint } from '#shared/contracts/vm/consoles.ts'
import { ConflictError } from '#shared/errors.ts'
import { driverOf } from '../drivers/drivers.ts'
import type { VmRecord } from '../model.ts'
import { requireStatus, settle } from '../state/status.ts'

/** Where a console is now. @throws ConflictError saying what the guest lacks or must be, UnavailableError */
export async function endpointOf(vm: Pick<VmRecord, 'id'>, type: ConsoleType): Promise<Endpoint> {
  const seen = await settle(vm.id)
  requireStatus(seen, 'open the console of', ['running', 'paused'])
  const { consoles } = driverOf(seen)
  if (!consoles) throw new ConflictError(`The hypervisor of virtual machine '${vm.id}' has no consoles here`)
  return consoles.find(seen, type)
}

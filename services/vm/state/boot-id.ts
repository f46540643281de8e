import type { VmRecord } from '../model.ts'
import { driverOf } from '../drivers/drivers.ts'

/** The boot id of a guest: changes at every start; null for one that is off, or where its hypervisor changes nothing of a run. */
export const bootIdOf = async (vm: Pick<VmRecord, 'id' | 'name' | 'node' | 'handle' | 'hypervisor'>) =>
  (await driverOf(vm).changes?.bootIdOf(vm)) ?? null

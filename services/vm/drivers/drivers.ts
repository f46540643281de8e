import type { Vm } from '#shared/contracts/vm/vms.ts'
import { ConflictError } from '#shared/errors.ts'
import { requireCurrent } from '#shared/runtime/request-context.ts'
import type { Hypervisor } from './driver.ts'
import { lxd } from './lxd/lxd.ts'
import type { Parts } from './parts.ts'
import { qemu } from './qemu/qemu.ts'

/**
 * Checks once more after the effects of a driver that cannot be made conditional on anything: a try that was lost during one
 * goes no further, and the sweep finds the guest that it has left.
 */
const checkedAfter = (driver: Hypervisor): Hypervisor => ({
  ...driver,
  define: async (definition) => {
    await driver.define(definition)
    await requireCurrent()
  },
  start: async (guest) => {
    await driver.start(guest)
    await requireCurrent()
  },
})

/** The driver of each hypervisor of the contract, one line for each; a missing one does not compile. */
export const drivers: Record<Vm['hypervisor'], Hypervisor> = {
  qemu: checkedAfter(qemu),
  lxd: checkedAfter(lxd('lxd')),
  incus: checkedAfter(lxd('incus')),
}

/** Puts other drivers in the places of all, such as those of a simulation. */
export function replaceDrivers(make: (driver: Hypervisor) => Hypervisor): void {
  for (const name of hypervisors) drivers[name] = checkedAfter(make(drivers[name]))
}

type Named = Pick<Vm, 'hypervisor'>
export const driverOf = ({ hypervisor }: Named): Hypervisor => drivers[hypervisor]

// The keys of the map are the contract's names.
export const hypervisors = Object.keys(drivers) as Vm['hypervisor'][]

/**
 * An optional part of a VM's hypervisor.
 * @param lack the refusal when the hypervisor does not have this part, given its name
 * @throws ConflictError
 */
export function requirePart<P extends keyof Parts>(
  vm: Named,
  part: P,
  lack: (hypervisor: string) => string,
): NonNullable<Parts[P]> {
  const found = driverOf(vm)[part]
  if (!found) throw new ConflictError(lack(vm.hypervisor), { details: { hypervisor: vm.hypervisor, capability: part } })
  return found
}

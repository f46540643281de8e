import type { Vm } from '#shared/contracts/vm/vms.ts'
import type { Hypervisor } from './driver.ts'
import { lxd } from './lxd/lxd.ts'
import { qemu } from './qemu/qemu.ts'

/** One line per hypervisor of the contract; a missing one does not compile. */
export const drivers: Record<Vm['hypervisor'], Hypervisor> = {
  qemu,
  lxd: lxd('lxd'),
  incus: lxd('incus'),
}

export const driverOf = ({ hypervisor }: Pick<Vm, 'hypervisor'>): Hypervisor => drivers[hypervisor]

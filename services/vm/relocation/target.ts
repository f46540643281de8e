import { call } from '#shared/bus/call.ts'
import type { TargetDisk } from '#shared/contracts/vm/moves.ts'
import { volumesInternal } from '#shared/contracts/storage/volumes-internal.ts'
import { reach } from '#shared/nodes/nodes.ts'
import { requirePart } from '../drivers/drivers.ts'
import type { MovedDisk } from '../drivers/relocation.ts'
import { seedPathOf } from '../cloudinit/seed.ts'
import { apiPathOf, type DiskRecord, type VmRecord } from '../model.ts'

export const movesOf = (vm: Pick<VmRecord, 'hypervisor'>) =>
  requirePart(vm, 'relocation', (hypervisor) => `A virtual machine of ${hypervisor} does not move to another node`)

/** The disks of a VM as its record has them on the target, with their sources there. Makes shared ones usable there. */
export async function disksAt(vm: VmRecord, target: string, wanted: TargetDisk[]): Promise<DiskRecord[]> {
  const all = vm.disks.map(async ({ reads, ...disk }) => {
    const at = wanted.find(({ id }) => id === disk.id)
    // Without a volume it is a network image, which both nodes reach under the same name.
    if (!at) return { ...disk, ...(reads && { reads }) }
    const words = { id: at.pool, volume: at.volume, owner: apiPathOf(vm.id), node: target }
    const { source, format } = await call(volumesInternal, 'placeFor', words, { timeoutMs: 60_000 })
    return { ...disk, pool: at.pool, volume: at.volume, source, format }
  })
  return Promise.all(all)
}

export const movedDisks = (disks: DiskRecord[], wanted: TargetDisk[]): MovedDisk[] =>
  disks.map(({ id, source }) => ({
    id,
    source,
    isCopied: wanted.some((each) => each.id === id && each.is_copied),
  }))

/** The path of a VM's cloud-init seed on the target; null for one without. */
export const seedAt = async (vm: VmRecord, target: string): Promise<string | null> =>
  vm.seed === null ? null : seedPathOf(await reach(target), vm.id)

/** The files of a VM that are no disks, at both nodes. */
export async function filesAt(vm: VmRecord, target: string) {
  const to = await seedAt(vm, target)
  return vm.seed === null || to === null ? [] : [{ from: vm.seed, to }]
}

import { requireRight } from '#shared/access/require-right.ts'
import { call } from '#shared/bus/call.ts'
import { vmBackups } from '#shared/contracts/vm/vm-backups.ts'
import { type Vm, vms } from '#shared/contracts/vm/vms.ts'
import { alreadyExists } from '#shared/errors.ts'
import type { Accepting, Op } from '#shared/operation/kinds.ts'
import { type NewVm, undoVm, unlessMissing } from '../../backups/restore/build-vm.ts'
import { newVmOf } from '../../backups/restore/new-vm.ts'
import { volumeRecords } from '../../models.ts'
import { openActivePool } from '../../pools/open-pool.ts'
import { snapshotsIn } from '../../snapshots/records.ts'
import { copy, plan, type Wanted } from '../../volumes/clone.ts'
import { undoVolume } from '../../volumes/make.ts'
import { apiPathOf as volumePathOf, findVolume, volumeId } from '../../volumes/records.ts'
import { guestStateOf, pointOf, type ReplicaRecord, replicaRecords } from '../model.ts'

/** A VM that is made of a point. Its disks are linked clones of the point where the storage has them: it stays as it is. */
export type CopyOfPoint = {
  replica: string
  point: string
  vm: string
  name: string
  node: string
  volumes: Wanted[]
  /** MAC addresses that it keeps; its other network cards get new ones. */
  macs: string[]
}

/** Leaves the MAC addresses that a copy does not keep to the VM service. */
export function keepingOnly(request: NewVm, macs: readonly string[]): NewVm {
  const isKept = (mac: string | undefined) => mac !== undefined && macs.includes(mac)
  const { nics = [], boot_order } = request
  const order = boot_order?.filter((entry) => !entry.includes(':') || isKept(entry))
  const { boot_order: _, ...rest } = request
  return {
    ...rest,
    nics: nics.map(({ mac, ...nic }) => (isKept(mac) ? { mac, ...nic } : nic)) as NewVm['nics'],
    ...(order && order.length > 0 && { boot_order: order }),
  }
}

/** Plans a VM of a point: its volumes lie in the storage pool of the replica. @throws ConflictError, ValidationError */
export async function planCopy(
  replica: ReplicaRecord,
  given: { point_id: string | undefined; vm: string; name: string; macs: string[] },
  accepting: Accepting,
): Promise<CopyOfPoint> {
  const { vm, name, macs } = given
  const { pool, node } = replica
  requireRight(accepting, 'VmAllocate', `/api/vms/${vm}`)
  requireRight(accepting, 'DatastoreAllocate', `/api/storage/pools/${encodeURIComponent(pool)}`)
  if (await unlessMissing(call(vms, 'get', { id: vm }))) throw alreadyExists(vm, { field: 'vm_id' })
  const point = pointOf(replica, given.point_id)
  const opened = await openActivePool(pool, node)
  const { linked_clones } = opened.driver.capabilitiesOf(opened.config)
  const mode = linked_clones && snapshotsIn(opened).clone ? 'linked' : 'full'
  const volumes: Wanted[] = []
  for (const [index, { volume }] of point.disks.entries()) {
    const target = `${vm}-disk-${index}`
    await accepting.hold(volumePathOf(pool, target))
    if (await volumeRecords.get(volumeId(pool, target))) throw alreadyExists(target, { field: 'vm_id' })
    const source = await findVolume(pool, volume)
    volumes.push(await plan(source, { mode, pool, name: target, snapshot: point.id, node }, null))
  }
  return { replica: replica.id, point: point.id, vm, name, node, volumes, macs }
}

/** Makes the VM: its disks first, then the VM, then UEFI variables and TPM. @param change gives it other hardware */
export async function makeCopy(
  op: Op,
  { replica, point, vm: id, name, node, volumes, macs }: CopyOfPoint,
  change: (request: NewVm) => NewVm,
): Promise<Vm> {
  for (const [index, wanted] of volumes.entries())
    await op.step(`copying disk ${index}`, async () => void (await copy(op, wanted)), {
      undo: () => undoVolume(wanted.target, null),
    })
  const { guest } = pointOf(await replicaRecords.require(replica), point)
  const named = volumes.map(({ target }) => ({ pool: target.pool, volume: target.name }))
  const request = change(keepingOnly(newVmOf(guest, { id, name, node, keepMacs: true, volumes: named }), macs))
  const made = await op.child(vms, 'create', request, { name: 'creating virtual machine', undo: () => undoVm(op, id) })
  await op.step('restoring state', async () => {
    const guest_state = await guestStateOf(replica, point)
    if (guest_state !== null) await call(vmBackups, 'putState', { id, guest_state })
  })
  return made
}

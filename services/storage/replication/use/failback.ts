import { requireRight } from '#shared/access/require-right.ts'
import { call } from '#shared/bus/call.ts'
import type { Params } from '#shared/contract/contract.ts'
import type { replicas } from '#shared/contracts/storage/replicas.ts'
import { type Snapshot, snapshots } from '#shared/contracts/vm/snapshots.ts'
import { vmBackups } from '#shared/contracts/vm/vm-backups.ts'
import { type Vm, vms } from '#shared/contracts/vm/vms.ts'
import { ConflictError } from '#shared/errors.ts'
import { event, now } from '#shared/events/event.ts'
import { idOfSeed } from '#shared/ids.ts'
import { type Op, operation } from '#shared/operation/kinds.ts'
import { removeGuest } from '../../backups/proof/guest.ts'
import { undoSwap } from '../../backups/restore/to-same.ts'
import { deleteNamed } from '../../backups/save/snapshot.ts'
import { imageOfSnapshot } from '../../backups/save/sources.ts'
import { openPool } from '../../pools/open-pool.ts'
import { restoreIn } from '../../snapshots/records.ts'
import { discard, open } from '../../snapshots/restore.ts'
import { originalOf } from '../../volumes/copy.ts'
import { findVolume } from '../../volumes/records.ts'
import { pointOf, replicaPathOf, replicaRecords, type StoredPoint } from '../model.ts'
import { sendDisk } from '../transfer/send-disk.ts'

type Side = { pool: string; volume: string }
type GoingBack = {
  replica: string
  source: string
  sourceNode: string
  other: string
  otherNode: string
  disks: { id: string; size_bytes: number; from: Side; to: Side }[]
  /** Id of the heads that are filled. */
  head: string
  start: boolean
  bandwidthMib: number | null
}

/** The disks of both virtual machines in pairs, and all that stands against going back. */
export function pairsOf(
  source: Pick<Vm, 'id' | 'status' | 'disks'>,
  other: Pick<Vm, 'id' | 'status' | 'disks'>,
  point: Pick<StoredPoint, 'disks'>,
): { pairs: GoingBack['disks']; obstacles: string[] } {
  const obstacles: string[] = []
  for (const { id, status } of [source, other])
    if (status !== 'stopped') obstacles.push(`virtual machine '${id}' is ${status}: stop it first`)
  const written = ({ disks }: Pick<Vm, 'disks'>) => disks.filter(({ readonly }) => !readonly)
  const pairs = point.disks.flatMap(({ id, source_pool, source_volume }, index) => {
    const to = written(source).find(({ pool, volume }) => pool === source_pool && volume === source_volume)
    const from = written(other).find(({ volume }) => volume === `${other.id}-disk-${index}`)
    if (!to) obstacles.push(`'${source.id}' has no disk ${source_pool}/${source_volume} now`)
    if (!from) obstacles.push(`'${other.id}' has no disk ${other.id}-disk-${index} now`)
    if (!to || !from || from.pool === null || from.volume === null) return []
    if (from.size_bytes !== to.size_bytes)
      obstacles.push(`disk ${id} has ${to.size_bytes} bytes in '${source.id}', and ${from.size_bytes} in '${other.id}'`)
    const sides = { from: { pool: from.pool, volume: from.volume }, to: { pool: source_pool, volume: source_volume } }
    return [{ id, size_bytes: to.size_bytes, ...sides }]
  })
  for (const vm of [source, other])
    if (written(vm).length > point.disks.length)
      obstacles.push(`'${vm.id}' has a disk that the other has not: detach it`)
  return { pairs, obstacles }
}

const vmPathOf = (vm: string) => `/api/vms/${vm}`
const nameOf = (op: Op) => `failback-${op.id}`

/** Fills the head of one disk of the source, and compares. */
async function send(op: Op, going: GoingBack, index: number, snapshot: string): Promise<void> {
  const { head, other, otherNode, sourceNode, bandwidthMib, disks } = going
  const { from, to, size_bytes: sizeBytes } = disks[index]!
  const restored = restoreIn(await findVolume(to.pool, to.volume), head)?.restored
  if (!restored) throw new ConflictError(`Volume '${to.pool}/${to.volume}' has no head ${head} by now`)
  const opened = await openPool(to.pool, sourceNode)
  const name = { name: to.volume, format: restored.format, head: restored.head }
  const bytes = (all: GoingBack['disks']) => all.reduce((sum, disk) => sum + disk.size_bytes, 0)
  await sendDisk(op, {
    from: await imageOfSnapshot({ ...from, owner: vmPathOf(other), node: otherNode, snapshot }),
    to: { host: opened.host, original: await originalOf(opened, name) },
    sizeBytes,
    bandwidthMib,
    within: { before: bytes(disks.slice(0, index)), total: bytes(disks) },
  })
}

/** Keeps a VM as it is in a snapshot, which is deleted when the operation fails. */
const keep = (op: Op, vm: string, what: string): Promise<Snapshot> =>
  op.child(
    snapshots,
    'create',
    { id: vm, name: nameOf(op), description: what, include_memory: false },
    { name: `keeping ${vm}`, undo: () => deleteNamed(vm, nameOf(op), `${op.id}/undo ${vm}`) },
  )

async function run(op: Op, going: GoingBack): Promise<Vm> {
  const { replica, source, sourceNode: node, other, head, disks, start } = going
  const sent = await keep(op, other, `For the failback to ${source}`)
  const before = await keep(op, source, `Before the failback from ${other}`)
  const heads = { disks: disks.map(({ to }) => ({ id: to.pool, volume: to.volume })), node, head }
  await op.step('opening heads', () => open({ ...heads, snapshot: before.id }), { undo: () => discard(heads) })
  for (const [index, { id }] of disks.entries())
    await op.step(`transferring ${id}`, () => send(op, going, index, sent.id))
  await op.step('keeping state', async () => {
    const { guest_state } = await call(vmBackups, 'describe', { id: other, snapshot_id: sent.id })
    if (guest_state !== null) await call(vmBackups, 'putState', { id: source, head, guest_state })
    const { status } = await call(vms, 'get', { id: other })
    if (status !== 'stopped')
      throw new ConflictError(`Virtual machine '${other}' was started meanwhile, and what it wrote would be lost`)
  })
  const swapped = await op.child(
    vmBackups,
    'restore',
    { id: source, snapshot_id: before.id, head, config: before.config },
    { name: 'swapping disks', undo: () => undoSwap(op, source) },
  )
  // The source has the bytes of the other one, compared; the state before is in its snapshot.
  await op.commit()
  await op.step('recording', async () => {
    const told = { replica_id: replica, vm_id: source, old_vm_id: other, timestamp: now() }
    await replicaRecords.updateWhere(
      { _id: replica, 'failover.vm_id': other },
      { set: { failover: null }, events: [event('ReplicaFailedBack', told)] },
    )
  })
  // The state before is in its snapshot, and the next run can take one at once.
  await op.step('ending restore', () => call(vmBackups, 'endRestore', { id: source }, { timeoutMs: 60_000 }))
  await op.step('removing the other', () => removeGuest(other, `${op.id}/end`))
  await op.step('bringing source back', () => call(vmBackups, 'replaceBy', { id: source, other: null }))
  return start ? op.child(vms, 'start', { id: source }, { name: 'starting' }) : swapped
}

export const failback = operation({
  accept: async ({ id, start, bandwidth_mib }: Params<typeof replicas, 'failback'>, accepting): Promise<GoingBack> => {
    await accepting.hold(replicaPathOf(id))
    const replica = await replicaRecords.require(id)
    const { failover, vm_id } = replica
    if (!failover) throw new ConflictError(`Nothing has taken over from replica '${id}'`)
    requireRight(accepting, 'VmConfig', vmPathOf(vm_id))
    requireRight(accepting, 'VmAllocate', vmPathOf(failover.vm_id))
    const [source, other] = [await call(vms, 'get', { id: vm_id }), await call(vms, 'get', { id: failover.vm_id })]
    const { pairs, obstacles } = pairsOf(source, other, pointOf(replica, failover.point_id))
    if (obstacles.length > 0)
      throw new ConflictError(`Replica '${id}' cannot go back: ${obstacles.join('; ')}`, { details: { obstacles } })
    return {
      replica: id,
      source: vm_id,
      sourceNode: source.node,
      other: other.id,
      otherNode: other.node,
      disks: pairs,
      head: idOfSeed(accepting.operationId, 'head'),
      start,
      bandwidthMib: bandwidth_mib ?? null,
    }
  },
  run,
})

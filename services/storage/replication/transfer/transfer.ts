import { call } from '#shared/bus/call.ts'
import type { Params } from '#shared/contract/contract.ts'
import type { Replica, replicas } from '#shared/contracts/storage/replicas.ts'
import { snapshots } from '#shared/contracts/vm/snapshots.ts'
import { vmBackups } from '#shared/contracts/vm/vm-backups.ts'
import { vms } from '#shared/contracts/vm/vms.ts'
import { ConflictError } from '#shared/errors.ts'
import { event, now } from '#shared/events/event.ts'
import { findEntry } from '#shared/operation/entries.ts'
import { type Accepting, type Op, operation } from '#shared/operation/kinds.ts'
import { requireDisks } from '../../backups/save/create.ts'
import { deleteNamed } from '../../backups/save/snapshot.ts'
import { imageOfSnapshot } from '../../backups/save/sources.ts'
import { forgetGuestState, putGuestState, replicaPathOf, replicaRecords, type StoredPoint, viewOf } from '../model.ts'
import { type Place, removePoint, takePoint } from './points.ts'
import { applyRetention, endSnapshot, snapshotNameOf } from './end.ts'
import { sendDisk } from './send-disk.ts'
import { ensureVolume, imageOf, requireTarget, volumeOf } from './target.ts'

type Given = Params<typeof replicas, 'transferFor'>
export type Transferring = Given & { vm_name: string; source_node: string }
type Described = Pick<StoredPoint, 'taken_at' | 'consistency' | 'vm_status' | 'guest'> & {
  /** Its volumes were those of its newest point, as far as this run knows. */
  wasWhole: boolean
  disks: Pick<StoredPoint['disks'][number], 'id' | 'source_pool' | 'source_volume' | 'format' | 'size_bytes'>[]
}
type Sent = Awaited<ReturnType<typeof sendDisk>> & Pick<StoredPoint['disks'][number], 'format'>

const placeOf = ({ id, node, pool }: Given): Place => ({ replica: id, node, pool })

/** Checks a transfer. The snapshot that it begins with has further checks of its own. */
async function accept(given: Given, { reserve, share }: Pick<Accepting, 'reserve' | 'share'>): Promise<Transferring> {
  const path = replicaPathOf(given.id)
  // Tests of points go on meanwhile; a failover, a failback and a deletion do not.
  await share(path)
  await reserve(`${path}/transfer`)
  const { failover } = (await replicaRecords.get(given.id)) ?? { failover: null }
  if (failover)
    throw new ConflictError(
      `Virtual machine '${failover.vm_id}' has taken over from '${given.vm_id}': nothing is replicated until it has gone back`,
    )
  const vm = await call(vms, 'get', { id: given.vm_id })
  requireDisks(vm)
  const own = vm.disks.find(({ pool, readonly }) => pool === given.pool && !readonly)
  if (own)
    throw new ConflictError(
      `Disk ${own.id} lies in storage pool '${given.pool}' itself: a replica belongs into another`,
    )
  await requireTarget(given.pool, given.node)
  return { ...given, vm_name: vm.name, source_node: vm.node }
}

/** Records the beginning of a run; the first one makes the record. */
async function begin(op: Op, { id, job, vm_id, vm_name, node, pool }: Transferring): Promise<void> {
  const run = { state: 'preparing' as const, operation_id: op.id, error: null }
  if (await replicaRecords.updateWhere({ _id: id }, { set: { ...run, vm_name, job_id: job } })) return
  const at = now()
  await replicaRecords.insert({
    id,
    job_id: job,
    vm_id,
    vm_name,
    node,
    pool,
    ...run,
    points: [],
    test: null,
    failover: null,
    is_whole: false,
    snapshots: [],
    created_at: at,
    updated_at: at,
  })
}

/** Records the failure of a run. Points stay as they are, and so do the bytes that were sent: the next run goes on there. */
async function fail(op: Op, { id, vm_id }: Transferring): Promise<void> {
  const error = (await findEntry(op.id))?.failure?.message ?? 'The transfer was cancelled'
  const told = event('ReplicationFailed', { replica_id: id, vm_id, error, timestamp: now() })
  await replicaRecords.updateWhere(
    { _id: id, operation_id: op.id },
    { set: { state: 'failed', error }, events: [told] },
  )
}

/** Records the VM as it was at the snapshot. */
async function describe({ id, vm_id }: Transferring, snapshot: string): Promise<Described> {
  const { vm, snapshot: then, guest_state } = await call(vmBackups, 'describe', { id: vm_id, snapshot_id: snapshot })
  await putGuestState(id, snapshot, guest_state)
  const { taken_at, consistency, vm_status, config } = then
  const { is_whole: wasWhole } = await replicaRecords.require(id)
  await replicaRecords.updateWhere({ _id: id }, { set: { state: 'transferring', is_whole: false } })
  return {
    wasWhole,
    taken_at,
    consistency,
    vm_status,
    guest: {
      hypervisor: vm.hypervisor,
      vm: { description: vm.description, tags: vm.tags },
      config,
      disks: then.disks.map(({ bus, cache }) => ({ bus, cache })),
    },
    disks: then.disks.map(({ id: place, pool, volume, format, size_bytes }) => {
      return { id: place, source_pool: pool, source_volume: volume, format, size_bytes }
    }),
  }
}

/** Makes the volume of one disk equal to the snapshot of it. */
async function send(
  op: Op,
  transferring: Transferring,
  disk: Described['disks'][number],
  snapshot: string,
  within: { before: number; total: number },
): Promise<Sent> {
  const { vm_id, source_node, bandwidth_mib } = transferring
  const place = placeOf(transferring)
  const format = await ensureVolume(place, disk)
  const { source_pool: pool, source_volume: volume, size_bytes: sizeBytes } = disk
  const owner = `/api/vms/${vm_id}`
  const from = await imageOfSnapshot({ pool, volume, owner, node: source_node, snapshot })
  const to = await imageOf(place, disk.id)
  const sent = await sendDisk(op, { from, to, sizeBytes, bandwidthMib: bandwidth_mib, within })
  return { ...sent, format }
}

/** True when something has written to the volumes since the run before. */
async function isWritten({ id }: Transferring, { wasWhole, disks }: Described, sent: Sent[]): Promise<boolean> {
  const last = (await replicaRecords.require(id)).points.at(-1)
  if (!wasWhole || !last) return false
  return disks.some((disk, index) => {
    const before = last.disks.find((each) => each.id === disk.id && each.size_bytes === disk.size_bytes)
    return before !== undefined && before.digest !== sent[index]!.found_digest
  })
}

async function record(op: Op, transferring: Transferring, point: string, described: Described, sent: Sent[]) {
  const { id, vm_id } = transferring
  const { points, snapshots: left } = await replicaRecords.require(id)
  if (points.some((each) => each.id === point)) return
  const sum = (field: 'sent_bytes' | 'compared_bytes') => sent.reduce((total, each) => total + each[field], 0)
  const { wasWhole: _, disks, ...kept } = described
  const made: StoredPoint = {
    ...kept,
    id: point,
    disks: disks.map((disk, index) => {
      const { format, data_bytes, digest } = sent[index]!
      return { ...disk, volume: volumeOf(id, disk.id), format, data_bytes, digest }
    }),
    sent_bytes: sum('sent_bytes'),
    compared_bytes: sum('compared_bytes'),
    was_written: await isWritten(transferring, described, sent),
    kept_by: null,
  }
  if (made.was_written) op.log('Something had written to the replica since the run before; it was made equal again')
  const { sent_bytes, was_written } = made
  const told = { replica_id: id, vm_id, point_id: point, sent_bytes, was_written, timestamp: now() }
  await replicaRecords.updateWhere(
    { _id: id },
    {
      set: {
        points: [...points, made],
        state: 'completed',
        is_whole: true,
        snapshots: [...left, snapshotNameOf(op.id)],
      },
      events: [event('ReplicationCompleted', told)],
    },
  )
}

async function run(op: Op, transferring: Transferring): Promise<Replica> {
  const { id, vm_id } = transferring
  const place = placeOf(transferring)
  await op.step('preparing', () => begin(op, transferring), { undo: () => fail(op, transferring) })
  const name = snapshotNameOf(op.id)
  const { id: point } = await op.child(
    snapshots,
    'create',
    { id: vm_id, name, description: `For replica ${id}`, include_memory: false },
    { name: 'taking snapshot', undo: () => deleteNamed(vm_id, name, `${op.id}/undo`) },
  )
  const described = await op.step('describing', () => describe(transferring, point), {
    undo: () => forgetGuestState(id, point),
  })
  const total = described.disks.reduce((sum, { size_bytes }) => sum + size_bytes, 0)
  const sent: Sent[] = []
  let before = 0
  for (const disk of described.disks) {
    const within = { before, total }
    sent.push(await op.step(`transferring ${disk.id}`, () => send(op, transferring, disk, point, within)))
    before += disk.size_bytes
  }
  const volumes = described.disks.map((disk) => volumeOf(id, disk.id))
  const finalize = async () => {
    await replicaRecords.updateWhere({ _id: id }, { set: { state: 'finalizing' } })
    await takePoint(place, volumes, point)
  }
  await op.step('taking point', finalize, { undo: () => removePoint(place, point, `${op.id}/undo`) })
  // Both ends are equal, and the point is taken.
  await op.commit()
  await op.step('recording', () => record(op, transferring, point, described, sent))
  await op.step('deleting snapshot', () => endSnapshot(op, id, vm_id, name))
  await applyRetention(op, transferring, place)
  return viewOf(await replicaRecords.require(id))
}

export const transferFor = operation({ accept, run })

import { type Static, Type } from 'typebox'
import { Id, Name } from '#shared/contracts/common.ts'
import { Snapshot } from '#shared/contracts/vm/snapshots.ts'
import { collection } from '#shared/db/collection.ts'
import { findAll } from '#shared/db/commands.ts'
import type { Stored } from '#shared/db/model.ts'
import { now } from '#shared/events/event.ts'
import type { DiskRecord, VmRecord } from '../model.ts'

const { is_current: _, uses, last_used_at, protected: isProtected, ...stored } = Snapshot.properties
/** A version without them has written records without these. */
const later = {
  uses: Type.Optional(uses),
  last_used_at: Type.Optional(last_used_at),
  protected: Type.Optional(isProtected),
  sequence: Type.Optional(Type.Integer({ description: 'Place in the order in which snapshots were taken' })),
}

/** A disk as the guest had it: its place, bus and cache come back with a restore. */
const StoredDisk = Type.Object({
  ...Snapshot.properties.disks.items.properties,
  device_id: Type.String(),
  bus: Type.String(),
  cache: Type.String(),
})

export const snapshotRecords = collection(
  'vm-snapshots',
  Type.Object({ ...stored, ...later, vm_id: Id, name: Name, disks: Type.Array(StoredDisk) }),
  {
    kind: 'Snapshot',
    resource: { path: '/api/vms/{vm_id}/snapshots/{id}', sees: 'VmAudit on /api/vms/{vm_id}' },
    indexes: [
      { fields: { vm_id: 1, name: 1 }, unique: true },
      { fields: { vm_id: 1, created_at: 1 } },
      { fields: { schedule_id: 1 } },
      { fields: { 'disks.pool': 1 } },
      { fields: { sequence: 1 } },
    ],
  },
)
export type SnapshotRecord = Awaited<ReturnType<typeof snapshotRecords.require>>

/** The place of the next snapshot. Two that are taken at the same time, of different VMs, may get the same one. */
export async function nextSequence(): Promise<number> {
  const order = { fields: ['sequence'], sort: { sequence: -1 as const }, limit: 1 }
  const [last] = await findAll<Stored & Pick<SnapshotRecord, 'sequence'>>(snapshotRecords.model, {}, order)
  return (last?.sequence ?? 0) + 1
}

/** The hardware that a restore brings back. Name, description, tags, media and protection stay as they are. */
const restoredFields = [
  'memory',
  'balloon',
  'cpus',
  'max_cpus',
  'cpu_model',
  'topology',
  'boot_order',
  'firmware',
  'graphics',
  'video',
  'nics',
  'boot',
] as const
export type RestoredHardware = Pick<VmRecord, (typeof restoredFields)[number]>

/** The fields of a VM, or of a snapshot's configuration, that a restore brings back. */
export function restoredHardwareOf(from: RestoredHardware): RestoredHardware {
  // The keys are those of the type.
  return Object.fromEntries(restoredFields.map((field) => [field, from[field]])) as RestoredHardware
}

/** The state before the last restore of a VM, which can be undone until its next start. */
export type BeforeRestore = {
  head: string
  snapshot: string
  hardware: RestoredHardware
  disks: DiskRecord[]
  current: string | null
}

const State = Type.Object({
  id: Type.String({ description: 'Id of the VM' }),
  current: Type.Union([Id, Type.Null()], { description: 'The snapshot that the disks of now come from' }),
  before: Type.Optional(Type.Unsafe<BeforeRestore>(Type.Object({}))),
})

/** The place of each VM in the tree of its snapshots. */
export const snapshotStates = collection('vm-snapshot-states', State, { kind: 'State of snapshots' })
type SnapshotState = Static<typeof State>

export const stateOf = async (vm: string): Promise<SnapshotState> =>
  (await snapshotStates.get(vm)) ?? { id: vm, current: null }

/** Writes the place of a VM in its tree. */
export async function putState({ id, current, before }: SnapshotState): Promise<void> {
  if (await snapshotStates.updateWhere({ _id: id }, { set: { current, before } })) return
  await snapshotStates.insert({ id, current, ...(before && { before }) })
}

export type Uses = Pick<SnapshotRecord, 'uses' | 'last_used_at' | 'protected'>

/** Use and protection of a snapshot, also of a record of an earlier version. */
export const usesOf = ({ uses: count = 0, last_used_at: at = null, protected: isKept = false }: Uses) => ({
  uses: count,
  last_used_at: at,
  protected: isKept,
})

/** Counts a use of a snapshot, such as a restore. One that is gone is fine. */
export const noteUse = async (id: string): Promise<void> => {
  const record = await snapshotRecords.get(id)
  if (record)
    await snapshotRecords.updateWhere({ _id: id }, { set: { uses: (record.uses ?? 0) + 1, last_used_at: now() } })
}

/** A record as callers see it. */
export const viewOf = ({ disks, sequence: _s, ...record }: SnapshotRecord, current: string | null): Snapshot => ({
  ...record,
  ...usesOf(record),
  disks: disks.map(({ device_id: _d, bus: _b, cache: _c, ...disk }) => disk),
  is_current: record.id === current,
})

export const configOf = (vm: VmRecord): Snapshot['config'] => {
  const { architecture, autostart, iso } = vm
  return { ...restoredHardwareOf(vm), architecture, autostart, iso }
}

export type SnapshotDisk = SnapshotRecord['disks'][number]

/** Volumes, as the storage names them. */
export const volumesOf = (disks: readonly { pool: string; volume: string }[]) =>
  disks.map(({ pool: id, volume }) => ({ id, volume }))

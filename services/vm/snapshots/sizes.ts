import { Type } from 'typebox'
import { Id, strict } from '#shared/contracts/common.ts'
import { collection } from '#shared/db/collection.ts'
import { countOf, findAll } from '#shared/db/commands.ts'
import { insertIfNew, update } from '#shared/db/guarded.ts'
import type { Stored } from '#shared/db/model.ts'
import { type SnapshotRecord, snapshotRecords } from './model.ts'

/** The part of a snapshot that quotas count. */
export type Size = Pick<SnapshotRecord, 'state' | 'size_bytes' | 'measured_at'> & {
  disks: { pool: string; held_bytes: number | null }[]
}
export type Sizes = Record<string, Size>

/**
 * The sizes of the snapshots of each VM, by their ids: to add up ten thousand snapshots takes a hundredth of the time that
 * reading their records would take. Written after each change of a record, in the same step of its operation.
 */
export const snapshotSizes = collection(
  'vm-snapshot-sizes',
  strict({ id: Id, sizes: Type.Unsafe<Sizes>(Type.Unknown()) }),
  { kind: 'Sizes of snapshots' },
)

const fields = ['_id', 'vm_id', 'state', 'size_bytes', 'measured_at', 'disks.pool', 'disks.held_bytes']

const sizeOf = ({ state, size_bytes, measured_at, disks }: Size): Size => ({
  state,
  size_bytes,
  measured_at,
  disks: disks.map(({ pool, held_bytes }) => ({ pool, held_bytes })),
})

/** Notes the size of a snapshot that was written. Repeating it is fine. */
export async function noteSize(record: SnapshotRecord): Promise<void> {
  const { id, vm_id } = record
  const set = { $set: { [`sizes.${id}`]: sizeOf(record) }, $inc: { version: 1 } }
  if (await update(snapshotSizes.model, { _id: vm_id }, set)) return
  if (await insertIfNew(snapshotSizes.model, { _id: vm_id, sizes: { [id]: sizeOf(record) }, version: 1 })) return
  await update(snapshotSizes.model, { _id: vm_id }, set)
}

/** Forgets a snapshot that is gone. */
export const forgetSize = async (vm: string, id: string): Promise<void> =>
  void (await update(snapshotSizes.model, { _id: vm }, { $unset: { [`sizes.${id}`]: '' }, $inc: { version: 1 } }))

/** Makes the sizes anew where they are not those of the records, such as after an update of Horcrux. */
export async function repairSizes(): Promise<void> {
  const known = await snapshotSizes.all()
  const count = known.reduce((sum, { sizes }) => sum + Object.keys(sizes).length, 0)
  if (count === (await countOf(snapshotRecords.model, {}))) return
  const records = await findAll<Stored & Size & { vm_id: string }>(snapshotRecords.model, {}, { fields })
  const owned = Map.groupBy(records, ({ vm_id }) => vm_id)
  for (const vm of new Set([...owned.keys(), ...known.map(({ id }) => id)])) {
    const before = known.find(({ id }) => id === vm)
    const sizes = Object.fromEntries((owned.get(vm) ?? []).map((record) => [record._id, sizeOf(record)]))
    // A change in between stands; the next look finds what is left.
    if (before)
      await update(snapshotSizes.model, { _id: vm, version: before.version }, { $set: { sizes }, $inc: { version: 1 } })
    else await insertIfNew(snapshotSizes.model, { _id: vm, sizes, version: 1 })
  }
}

import { Type } from 'typebox'
import { Id, strict } from '#shared/contracts/common.ts'
import { Quota } from '#shared/contracts/vm/snapshot-quotas.ts'
import { collection } from '#shared/db/collection.ts'

export const quotaRecords = collection('snapshot-quotas', Quota, {
  kind: 'Snapshot quota',
  resource: { path: '/api/snapshot-quotas/{id}', sees: 'VmAudit on /api/snapshot-quotas/{id}' },
})

/** Room for a snapshot that is being made. `by`: the operation; `until`: it ends then, unless the snapshot has a record. */
export type Reservation = { bytes: number; until: string; by: string }

/**
 * The reservations in each quota, by the ids of the snapshots. Snapshots that are made are counted by their records, so that
 * nothing is counted that is not there. Its version is raised with each change: a decision is written only if no other was
 * made since it was read.
 */
export const rooms = collection(
  'snapshot-quota-rooms',
  strict({ id: Id, reservations: Type.Unsafe<Record<string, Reservation>>(Type.Unknown()) }),
  { kind: 'Room in snapshot quota' },
)
export type Room = Awaited<ReturnType<typeof rooms.require>>

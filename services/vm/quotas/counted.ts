import type { QuotaScope } from '#shared/contracts/vm/snapshot-quotas.ts'
import { findAll } from '#shared/db/commands.ts'
import type { Stored } from '#shared/db/model.ts'
import { type SnapshotRecord, snapshotRecords, type Uses, usesOf } from '../snapshots/model.ts'
import { snapshotSizes } from '../snapshots/sizes.ts'
import { type Counted, isInScope } from './usage.ts'

const fields = ['_id', 'vm_id', 'state', 'size_bytes', 'measured_at', 'disks.pool', 'disks.held_bytes']

const filterOf = (scope: QuotaScope) => {
  if (scope.kind === 'vm') return { vm_id: scope.vm_id }
  return scope.kind === 'pool' ? { 'disks.pool': scope.pool } : {}
}

/** A snapshot that an enforcement may delete. */
export type Candidate = Counted &
  Pick<SnapshotRecord, 'name' | 'created_at' | 'sequence' | 'schedule_id'> & {
    uses: number
    last_used_at: string | null
    protected: boolean
  }

const more = ['name', 'created_at', 'sequence', 'schedule_id', 'uses', 'last_used_at', 'protected']

/** The snapshots of a scope, with the fields that an enforcement chooses by. */
export async function candidatesIn(scope: QuotaScope): Promise<Candidate[]> {
  type Found = Stored & Omit<Candidate, 'id' | 'uses' | 'last_used_at' | 'protected'> & Uses
  const found = await findAll<Found>(snapshotRecords.model, filterOf(scope), { fields: [...fields, ...more] })
  return found.map(
    ({
      _id: id,
      vm_id,
      state,
      size_bytes,
      measured_at,
      disks,
      name,
      created_at,
      sequence = 0,
      schedule_id,
      ...rest
    }) => {
      const counted = { id, vm_id, state, size_bytes, measured_at, disks }
      return { ...counted, name, created_at, sequence, schedule_id, ...usesOf(rest) }
    },
  )
}

/** The snapshots of a scope, with the fields that are counted only. */
export async function countedIn(scope: QuotaScope): Promise<Counted[]> {
  const found = await snapshotSizes.all(scope.kind === 'vm' ? { _id: scope.vm_id } : {})
  const counted = found.flatMap(({ id: vm_id, sizes }) =>
    Object.entries(sizes).map(([id, size]): Counted => ({ id, vm_id, ...size })),
  )
  return counted.filter((snapshot) => isInScope(scope, snapshot))
}

import type { Quota, QuotaScope, QuotaUsage } from '#shared/contracts/vm/snapshot-quotas.ts'
import type { SnapshotRecord } from '../snapshots/model.ts'
import type { Reservation } from './model.ts'

/** The part of a snapshot that is counted. */
export type Counted = Pick<SnapshotRecord, 'id' | 'vm_id' | 'state' | 'size_bytes' | 'measured_at'> & {
  disks: Pick<SnapshotRecord['disks'][number], 'pool' | 'held_bytes'>[]
}

/** A snapshot that is about to be made, with the bytes that it holds at once. */
export type Wanted = { id: string; vm_id: string; memory_bytes: number; disks: { pool: string; bytes: number }[] }

type Limits = Pick<Quota, 'max_count' | 'max_bytes'>
type Used = { count: number; bytes: number }

/** True for snapshots of this VM, with disks in these storage pools. */
export function isInScope(scope: QuotaScope, { vm_id, disks }: { vm_id: string; disks: { pool: string }[] }): boolean {
  if (scope.kind === 'vm') return scope.vm_id === vm_id
  return scope.kind === 'global' || disks.some(({ pool }) => pool === scope.pool)
}

/** The bytes of a snapshot in a scope; null while they are not known. In a storage pool only those of its disks there. */
export function bytesIn(
  scope: QuotaScope,
  { size_bytes, disks }: Pick<Counted, 'size_bytes' | 'disks'>,
): number | null {
  if (scope.kind !== 'pool') return size_bytes
  let sum = 0
  for (const { held_bytes, pool } of disks) {
    if (pool !== scope.pool) continue
    if (held_bytes === null) return null
    sum += held_bytes
  }
  return sum
}

/** The bytes that a snapshot will hold in a scope. */
export function wantedBytesIn(scope: QuotaScope, { disks, memory_bytes }: Wanted): number {
  const isIn = (pool: string) => scope.kind !== 'pool' || scope.pool === pool
  const sum = disks.reduce((bytes, disk) => bytes + (isIn(disk.pool) ? disk.bytes : 0), 0)
  return scope.kind === 'pool' ? sum : sum + memory_bytes
}

/** Reservations that count: those that have not ended, and those of snapshots that are being made. */
export function liveReservations(
  reservations: Record<string, Reservation>,
  snapshots: readonly Pick<Counted, 'id' | 'state'>[],
  nowMs: number,
): Record<string, Reservation> {
  const making = new Set(snapshots.filter(({ state }) => state === 'creating').map(({ id }) => id))
  const made = new Set(snapshots.filter(({ state }) => state !== 'creating').map(({ id }) => id))
  return Object.fromEntries(
    Object.entries(reservations).filter(
      ([id, { until }]) => !made.has(id) && (making.has(id) || Date.parse(until) > nowMs),
    ),
  )
}

const percentOf = (used: number, limit: number | null) =>
  limit === null ? null : limit === 0 ? (used > 0 ? 100 : 0) : Math.round((used / limit) * 1000) / 10

/** The use of a quota by these snapshots of its scope, and by reservations that count. */
export function usageOf(
  quota: Pick<Quota, 'id' | 'scope' | 'warning_percent'> & Limits,
  snapshots: readonly Counted[],
  reservations: Record<string, Reservation>,
): QuotaUsage {
  const plain = snapshots.filter(({ id }) => reservations[id] === undefined)
  const sizes = plain.map((snapshot) => bytesIn(quota.scope, snapshot))
  const reserved = Object.values(reservations)
  const count = plain.length + reserved.length
  const bytes =
    sizes.reduce<number>((sum, size) => sum + (size ?? 0), 0) + reserved.reduce((sum, each) => sum + each.bytes, 0)
  const times = plain.flatMap(({ measured_at }) => measured_at ?? []).toSorted()
  const [count_percent, bytes_percent] = [percentOf(count, quota.max_count), percentOf(bytes, quota.max_bytes)]
  return {
    quota_id: quota.id,
    count,
    bytes,
    unmeasured: sizes.filter((size) => size === null).length,
    measured_at: times[0] ?? null,
    count_percent,
    bytes_percent,
    state: stateOf(quota, { count, bytes }),
  }
}

function stateOf(
  { max_count, max_bytes, warning_percent }: Limits & Pick<Quota, 'warning_percent'>,
  { count, bytes }: Used,
): QuotaUsage['state'] {
  const isAbove = (used: number, limit: number | null, percent: number) =>
    limit !== null && used > 0 && used * 100 >= limit * percent
  if (max_count !== null && count > max_count) return 'exceeded'
  if (max_bytes !== null && bytes > max_bytes) return 'exceeded'
  const warns = isAbove(count, max_count, warning_percent) || isAbove(bytes, max_bytes, warning_percent)
  return warns ? 'warning' : 'ok'
}

/** The limits that a further snapshot would exceed, in words. Bytes of a snapshot that holds none yet exceed nothing. */
export function overruns({ max_count, max_bytes }: Limits, { count, bytes }: Used, moreBytes: number): string[] {
  return [
    ...(max_count !== null && count + 1 > max_count ? [`${count} of ${max_count} snapshots`] : []),
    ...(max_bytes !== null && moreBytes > 0 && bytes + moreBytes > max_bytes
      ? [`${bytes} of ${max_bytes} bytes, and the snapshot holds ${moreBytes} at once`]
      : []),
    ...(max_bytes !== null && moreBytes === 0 && bytes >= max_bytes ? [`${bytes} of ${max_bytes} bytes`] : []),
  ]
}

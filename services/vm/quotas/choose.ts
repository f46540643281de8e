import type { Policy, Quota, QuotaUsage } from '#shared/contracts/vm/snapshot-quotas.ts'
import { byAge } from '../snapshots/age.ts'
import type { Candidate } from './counted.ts'

/** A candidate with its bytes in the scope of a quota. */
export type Sized = Candidate & { bytes: number | null }

const orders: Record<Exclude<Policy, 'manual'>, (a: Sized, b: Sized) => number> = {
  oldest_first: byAge,
  largest_first: (a, b) => (b.bytes ?? -1) - (a.bytes ?? -1) || byAge(a, b),
  least_used_first: (a, b) =>
    a.uses - b.uses || (a.last_used_at ?? '').localeCompare(b.last_used_at ?? '') || byAge(a, b),
}

/**
 * The snapshots that an enforcement may delete, in the order of the policy.
 * @param only the ids to choose among; the policy `manual` takes them in this order, and has no order of its own
 */
export function inOrder(policy: Policy, candidates: readonly Sized[], only?: readonly string[]): Sized[] {
  if (policy === 'manual')
    return (only ?? []).flatMap((id) => candidates.find((candidate) => candidate.id === id) ?? [])
  return candidates.filter(({ id }) => only?.includes(id) ?? true).toSorted(orders[policy])
}

/** Snapshots and bytes beyond the limits, which are to be given back. */
export type Excess = { count: number; bytes: number }

/** The excess of a quota that is to have room for more. */
export const excessOf = (
  { max_count, max_bytes }: Pick<Quota, 'max_count' | 'max_bytes'>,
  { count, bytes }: Pick<QuotaUsage, 'count' | 'bytes'>,
  room: Excess,
): Excess => ({
  count: max_count === null ? 0 : Math.max(0, count + room.count - max_count),
  bytes: max_bytes === null ? 0 : Math.max(0, bytes + room.bytes - max_bytes),
})

export const isNone = ({ count, bytes }: Excess): boolean => count <= 0 && bytes <= 0

/** The excess that is left when a snapshot is gone. Bytes that are not known give nothing back. */
export const without = ({ count, bytes }: Excess, gone: Sized): Excess => ({
  count: count - 1,
  bytes: bytes - (gone.bytes ?? 0),
})

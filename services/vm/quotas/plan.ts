import type { Caller, Rights } from '#shared/access/access.ts'
import type { Params } from '#shared/contract/contract.ts'
import type { EnforcePlan, Quota, snapshotQuotas } from '#shared/contracts/vm/snapshot-quotas.ts'
import { AppError, invalid } from '#shared/errors.ts'
import { planned } from '#shared/service/plan.ts'
import { apiPathOf } from '../model.ts'
import { planRemove } from '../snapshots/remove.ts'
import { type Excess, excessOf, inOrder, isNone, type Sized, without } from './choose.ts'
import { type Candidate, candidatesIn } from './counted.ts'
import { bytesIn } from './usage.ts'
import { usageNow } from './usage-now.ts'

/** A larger excess takes several enforcements. */
const mostDeletions = 100
/** Snapshots that are looked at, so that many which cannot go do not keep the caller waiting. */
const mostLooks = 200

type Asked = { caller: Caller; rights: Rights }
type Wish = Omit<Params<typeof snapshotQuotas, 'enforce'>, 'id' | 'plan'>

export const shown = ({ id, vm_id, name, created_at, bytes }: Sized) => ({
  snapshot_id: id,
  vm_id,
  name,
  created_at,
  bytes,
})

/** The reason that a snapshot cannot be deleted now; null when it can. */
async function obstacleTo({ id, vm_id, state }: Candidate, { caller, rights }: Asked): Promise<string | null> {
  if (caller.kind !== 'service' && !rights.allows('VmSnapshot', apiPathOf(vm_id)))
    return `its deletion takes VmSnapshot on ${apiPathOf(vm_id)}`
  if (state === 'creating') return 'is being made'
  try {
    await planRemove({ id: vm_id, snapshot_id: id })
    return null
  } catch (error) {
    if (error instanceof AppError) return error.message
    throw error
  }
}

/** @throws ValidationError for snapshots that the quota does not count */
function requireCounted(candidates: readonly Candidate[], only: readonly string[] | undefined): void {
  const other = only?.findIndex((id) => !candidates.some((candidate) => candidate.id === id)) ?? -1
  if (other >= 0) throw invalid(`snapshots.${other}`, `The quota counts no snapshot '${only![other]}'`, 'not_found')
}

/** Decides about snapshots in their order until the excess is gone. */
async function decide(candidates: readonly Sized[], excess: Excess, isChosen: boolean, asked: Asked) {
  const gone: Sized[] = []
  const skipped: EnforcePlan['skipped'] = []
  let left = excess
  for (const candidate of candidates.slice(0, mostLooks)) {
    if ((!isChosen && isNone(left)) || gone.length === mostDeletions) break
    // Bytes are wanted, and none come back.
    if (!isChosen && left.count <= 0 && candidate.bytes === 0) continue
    const reason = await obstacleTo(candidate, asked)
    if (reason !== null) skipped.push({ ...shown(candidate), reason })
    else {
      gone.push(candidate)
      left = without(left, candidate)
    }
  }
  return { gone, skipped, is_enough: isNone(left) }
}

/**
 * Plans the enforcement of a quota. Nothing that others depend on, and nothing that is protected, is chosen.
 * @throws ValidationError
 */
export async function planEnforce(quota: Quota, wish: Wish, asked: Asked): Promise<EnforcePlan> {
  const candidates = await candidatesIn(quota.scope)
  requireCounted(candidates, wish.snapshots)
  const usage = await usageNow(quota)
  const sized = candidates.map((candidate) => Object.assign(candidate, { bytes: bytesIn(quota.scope, candidate) }))
  const excess = excessOf(quota, usage, { count: wish.room_count, bytes: wish.room_bytes })
  const isChosen = quota.policy === 'manual'
  const ordered = inOrder(quota.policy, sized, wish.snapshots)
  const { gone, skipped, is_enough } = await decide(ordered, excess, isChosen, asked)
  const plan = {
    quota_id: quota.id,
    policy: quota.policy,
    usage,
    delete: gone.map((each) => ({ ...shown(each), schedule_id: each.schedule_id })),
    skipped,
    is_enough,
  }
  // Bytes and times of measurements change by themselves.
  return planned(plan, { quota: quota.id, snapshots: gone.map(({ id }) => id) })
}

import { setTimeout as sleep } from 'node:timers/promises'
import { hasHolderGone, newHolder } from '#shared/bus/liveness.ts'
import { bus } from '#shared/bus/bus.ts'
import { authChangedSubject } from '#shared/contracts/access/auth.ts'
import { update } from '#shared/db/guarded.ts'
import { type Held, leaseFor, releaseLease, takeLease } from '#shared/db/lease.ts'
import { UnavailableError } from '#shared/errors.ts'
import { log } from '#shared/runtime/log.ts'
import { builtInRoles, type Privilege } from '#shared/access/privileges.ts'
import { grants, groups, policies, roles } from '../models.ts'
import { isForGood, memberPath, pools } from '../resource-pools/model.ts'
import type { Policy } from './policy.ts'

const id = 'policy'
/** Lease of a policy change: after it the holder has finished or died. */
const leaseMs = 10_000
const loadAgainAfterMs = 500
/** Wait for the lease: shorter than the timeout of a service call. */
const patienceMs = 4000
const looksAfterTries = 15

type Known = { policy: Policy; revision: number; isSettled: boolean; loadedAt: number }
let known: Known | undefined

/**
 * The current policy, from a cache. The cached policy is used as long as its revision equals the stored one and no
 * change is in progress, so a grant or revocation through any replica counts for the next check.
 */
export async function currentPolicy(): Promise<Policy> {
  const state = await policies.get(id)
  const isSettled = !state?.lease
  const revision = state?.revision ?? 0
  if (known?.revision === revision) {
    // During a change, or after its holder died, the written part of the change is unknown, so the policy is reloaded.
    const isRecent = Date.now() - known.loadedAt < loadAgainAfterMs
    if (isSettled ? known.isSettled : isRecent) return known.policy
  }
  const policy = await loadPolicy()
  known = { policy, revision, isSettled, loadedAt: Date.now() }
  return policy
}

/** Loads the policy from the store, for decisions that a change depends on. */
export async function loadPolicy(): Promise<Policy> {
  const [allGrants, allRoles, allGroups, allPools] = await Promise.all([
    grants.all(),
    roles.all(),
    groups.all(),
    pools.all(),
  ])
  return {
    grants: allGrants,
    roles: new Map<string, readonly Privilege[]>([
      ...allRoles.map((role) => [role.id, role.privileges] as const),
      ...Object.entries(builtInRoles),
    ]),
    groups: new Map(allGroups.map((group) => [group.id, group])),
    pools: new Map(
      allPools.map(({ id, members }) => [
        id,
        { id, members: Object.values(members).filter(isForGood).map(memberPath) },
      ]),
    ),
  }
}

let queue: Promise<unknown> = Promise.resolve()

/**
 * Changes the policy under a lease that excludes all other replicas, so that the checks stay true until the write. Then
 * notifies every gateway.
 * @param about the user whose rights change; omitted for all users
 */
export function changePolicy<T>(work: (policy: Policy) => Promise<T>, about?: string): Promise<T> {
  const deadline = Date.now() + patienceMs
  const turn = queue.then(() => {
    // The caller has timed out by now; doing the change would only delay the next one.
    if (Date.now() > deadline) throw busy()
    return changeInTurn(work, about)
  })
  queue = turn.catch(() => undefined)
  return turn
}

async function changeInTurn<T>(work: (policy: Policy) => Promise<T>, about?: string): Promise<T> {
  const held = await acquire()
  try {
    return await work(await loadPolicy())
  } finally {
    // The revision goes up whether the work succeeded or not: a part of it may be done.
    await releaseLease(policies.model, held, { $inc: { revision: 1 } })
    tellOfChange(about)
  }
}

async function acquire(): Promise<Held> {
  await ensureState()
  const lease = () => leaseFor(newHolder(), leaseMs)
  const deadline = Date.now() + patienceMs
  let dead: string | undefined
  for (let tries = 1; ; tries++) {
    const taken = await takeLease<Held>(policies.model, { _id: id }, lease(), { dead })
    if (taken) return { id, epoch: taken.epoch }
    if (Date.now() > deadline) throw busy()
    await sleep(10 + Math.random() * 20)
    if (tries % looksAfterTries === 0) dead = await deadHolder()
  }
}

function busy() {
  return new UnavailableError('Other changes of users and rights are in progress; try again', { retryAfterSeconds: 2 })
}

/** The holder of the lease, if its replica has died: then waiting for the end of the lease is needless. */
async function deadHolder(): Promise<string | undefined> {
  const holder = (await policies.get(id))?.lease?.holder
  return holder !== undefined && (await hasHolderGone(holder)) ? holder : undefined
}

/** Invalidates the cached policy of all replicas after a single atomic write that needed no lease. */
export async function policyChanged(): Promise<void> {
  await ensureState()
  await update(policies.model, { _id: id }, { $inc: { revision: 1 } })
  tellOfChange()
}

async function ensureState(): Promise<void> {
  if (await policies.get(id)) return
  // Another replica may have inserted it at the same time.
  await policies.insert({ id, revision: 1, lease: null, epoch: 0 }).catch(() => undefined)
}

/** Notifies every gateway to identify users and read rights again. */
export function tellOfChange(user?: string): void {
  try {
    bus().nats.publish(authChangedSubject, JSON.stringify(user === undefined ? {} : { user }))
  } catch (error) {
    // Without a bus no gateway can be notified; their caches expire within a second anyway.
    log('auth').debug({ err: error }, 'no gateway could be notified of the change')
  }
}

import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { hasGone } from '#shared/bus/liveness.ts'
import { bus } from '#shared/bus/bus.ts'
import { authChangedSubject } from '#shared/contracts/access/auth.ts'
import { current } from '#shared/runtime/request-context.ts'
import { inStore } from '#shared/db/connect.ts'
import { UnavailableError } from '#shared/errors.ts'
import { log } from '#shared/runtime/log.ts'
import { builtInRoles, type Privilege } from '#shared/access/privileges.ts'
import { grants, groups, policies, roles } from '../models.ts'
import { isForGood, memberPath, pools } from '../resource-pools/model.ts'
import type { Policy } from './policy.ts'

const id = 'policy'
/** Whoever changes the policy is done by then, or has died. */
const leaseMs = 10_000
const loadAgainAfterMs = 500
/** A call to a service ends soon after this. */
const patienceMs = 4000
const looksAfterTries = 15

type Known = { policy: Policy; revision: number; isSettled: boolean; loadedAt: number }
let known: Known | undefined

/**
 * The policy as it is now. A loaded one is used again as long as its revision is the store's and nobody is changing it,
 * so what is granted or revoked through any replica holds here with the next question.
 */
export async function currentPolicy(): Promise<Policy> {
  const state = await policies.get(id)
  const isSettled = state?.holder === null || state === null
  const revision = state?.revision ?? 0
  if (known?.revision === revision) {
    // While somebody changes it, or has died over it, it is not known what of it is done yet.
    const isRecent = Date.now() - known.loadedAt < loadAgainAfterMs
    if (isSettled ? known.isSettled : isRecent) return known.policy
  }
  const policy = await loadPolicy()
  known = { policy, revision, isSettled, loadedAt: Date.now() }
  return policy
}

/** The policy as it stands in the store, for decisions that a change depends on. */
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
 * Changes the policy with nobody else changing it, in any replica, so that what was checked stays true while it is
 * written. Then every gateway hears of it.
 * @param about whose rights change; none means anybody's
 */
export function changePolicy<T>(work: (policy: Policy) => Promise<T>, about?: string): Promise<T> {
  const deadline = Date.now() + patienceMs
  const turn = queue.then(() => {
    // Whoever asked has been told by now that nobody answered: to do it all the same would keep the next one waiting.
    if (Date.now() > deadline) throw busy()
    return changeInTurn(work, about)
  })
  queue = turn.catch(() => undefined)
  return turn
}

async function changeInTurn<T>(work: (policy: Policy) => Promise<T>, about?: string): Promise<T> {
  const holder = `${current()?.broker.nodeID ?? ''}/${randomUUID()}`
  await acquire(holder)
  try {
    return await work(await loadPolicy())
  } finally {
    await release(holder)
    tellOfChange(about)
  }
}

async function acquire(holder: string): Promise<void> {
  await ensureState()
  const deadline = Date.now() + patienceMs
  let dead: string | undefined
  for (let tries = 1; ; tries++) {
    const now = Date.now()
    const free = [{ holder: null }, { until: { $lt: new Date(now).toISOString() } }]
    const mine = await policies.updateWhere(
      { _id: id, $or: dead === undefined ? free : [...free, { holder: dead }] },
      { set: { holder, until: new Date(now + leaseMs).toISOString() } },
    )
    if (mine) return
    if (now > deadline) throw busy()
    await sleep(10 + Math.random() * 20)
    if (tries % looksAfterTries === 0) dead = await deadHolder()
  }
}

function busy() {
  return new UnavailableError('Users and rights are being changed by others; try again', { retryAfterSeconds: 2 })
}

/** Who holds it, if that replica has died over it: nobody need wait for the end of its lease. */
async function deadHolder(): Promise<string | undefined> {
  const holder = (await policies.get(id))?.holder
  const node = holder?.split('/')[0]
  return holder && node && (await hasGone(node)) ? holder : undefined
}

/** The revision goes up whether the work succeeded or not: a part of it may be done. */
function release(holder: string) {
  return inStore(() =>
    policies.model.updateOne({ _id: id, holder } as never, { $set: { holder: null }, $inc: { revision: 1 } } as never),
  )
}

/** After a change that needs no turn because it is one atomic write of its own: has everybody load the policy anew. */
export async function policyChanged(): Promise<void> {
  await ensureState()
  await inStore(() => policies.model.updateOne({ _id: id } as never, { $inc: { revision: 1 } } as never))
  tellOfChange()
}

async function ensureState(): Promise<void> {
  if (await policies.get(id)) return
  const until = new Date(0).toISOString()
  // Another replica may have made it meanwhile.
  await policies.insert({ id, revision: 1, holder: null, until }).catch(() => undefined)
}

/** Tells every gateway to ask anew who somebody is and what they may. */
export function tellOfChange(user?: string): void {
  try {
    bus().nats.publish(authChangedSubject, JSON.stringify(user === undefined ? {} : { user }))
  } catch (error) {
    // Without the bus there is nobody who could be told, and what gateways remember ends within a second anyway.
    log('auth').debug({ err: error }, 'nobody could be told of the change')
  }
}

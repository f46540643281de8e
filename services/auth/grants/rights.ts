import { LRUCache } from 'lru-cache'
import type { Right } from '#shared/access/access.ts'
import type { Result } from '#shared/contract/contract.ts'
import type { auth, Identity } from '#shared/contracts/access/auth.ts'
import { update } from '#shared/db/guarded.ts'
import { notFound } from '#shared/errors.ts'
import { now } from '#shared/events/event.ts'
import { rightSets } from '../models.ts'
import {
  type Asker,
  effectiveRights,
  grantsOf,
  nameOf,
  normalized,
  rightsEnd,
  rightsOfGrants,
} from '../policy/effective.ts'
import type { Circumstances, Policy } from '../policy/policy.ts'
import { currentPolicy } from '../policy/store.ts'

/**
 * Use of a set of rights is recorded once a day, and an unused set is kept for 35 days: an operation may still need it.
 */
const noteUseEveryMs = 24 * 3_600_000
const keptMs = 35 * 24 * 3_600_000

const noted = new LRUCache<string, true>({ max: 10_000, ttl: noteUseEveryMs })
const recent = new LRUCache<string, Right[]>({ max: 500 })

type Named = Pick<Identity, 'rights' | 'rights_until'>

/**
 * Names the rights of a principal at this time and address, stores them under that name for all replicas, and tells
 * until when they hold.
 */
export async function nameRights(asker: Asker, circumstances: Circumstances): Promise<Named> {
  const policy = await currentPolicy()
  const rights = effectiveRights(policy, asker, circumstances)
  const name = nameOf(rights)
  recent.set(name, rights)
  if (!noted.get(name)) await keep(name, rights)
  return { rights: name, rights_until: rightsEnd(policy, asker, circumstances.at)?.toISOString() ?? null }
}

async function keep(name: string, rights: Right[]): Promise<void> {
  const change = { $set: { rights, used_at: now() }, $setOnInsert: { version: 1 } }
  await update(rightSets.model, { _id: name }, change, { upsert: true })
  noted.set(name, true)
}

/** Page size that is safely below the limit of a message on the bus (1 MiB). */
const pageBytes = 400_000

/** One page of the rights of this name. @throws NotFoundError for an unknown name */
export async function rightsNamed(name: string, offset: number): Promise<Result<typeof auth, 'rights'>> {
  const all = recent.get(name) ?? ((await rightSets.get(name))?.rights as Right[] | undefined)
  if (!all) throw notFound('Set of rights', name)
  recent.set(name, all)
  let end = offset
  for (let bytes = 0; end < all.length && bytes < pageBytes; end++)
    bytes += all[end]!.path.length + all[end]!.privileges.join().length + 50
  return { rights: all.slice(offset, end).map(mutable), next: end < all.length ? end : null }
}

export const mutable = ({ path, privileges }: Right) => ({ path, privileges: [...privileges] })

export function sweepRights() {
  return rightSets.removeWhere({ used_at: { $lt: new Date(Date.now() - keptMs).toISOString() } })
}

/** The rights of a user by path, with the grants that give them. */
export function rightsWithGrants(policy: Policy, user: string, circumstances: Circumstances) {
  const applied = grantsOf(policy, user).map((one) => ({
    id: one.grant.id,
    rights: rightsOfGrants(policy, [one], circumstances),
  }))
  return normalized(applied.flatMap(({ rights }) => rights)).map((right) => ({
    ...mutable(right),
    grants: applied.filter(({ rights }) => rights.some(({ path }) => path === right.path)).map(({ id }) => id),
  }))
}

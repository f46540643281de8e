import type { Footprint, Limits, Member } from '#shared/contracts/access/resource-pools.ts'
import type { Filter, Update } from '#shared/db/commands.ts'
import { update } from '#shared/db/guarded.ts'
import { ConflictError } from '#shared/errors.ts'
import { now } from '#shared/events/event.ts'
import { holding, memberKey, pools, type Reserved, type StoredPool } from './model.ts'

type Used = StoredPool['used']
const dimensions = ['cpus', 'memory', 'disk', 'instances'] as const
type Dimension = (typeof dimensions)[number]
const units: Record<Dimension, string> = {
  cpus: 'vCPUs',
  memory: 'MiB memory',
  disk: 'bytes disk',
  instances: 'instances',
}

const none: Used = { cpus: 0, memory: 0, disk: 0, instances: 0 }

/** The amounts that a member counts. Storage pools and networks count nothing. */
function counted({ kind, cpus, memory, disk }: Pick<Member, 'kind'> & Footprint): Used {
  return kind === 'vm' || kind === 'container' ? { cpus, memory, disk, instances: 1 } : none
}

function difference(to: Used, from: Used): Used {
  return {
    cpus: to.cpus - from.cpus,
    memory: to.memory - from.memory,
    disk: to.disk - from.disk,
    instances: to.instances - from.instances,
  }
}

/** The limits that the additional amounts would exceed. A dimension without increase is never refused. */
function overruns(limits: Limits, used: Used, more: Used): string[] {
  return dimensions.flatMap((dimension) => {
    const limit = limits[dimension]
    if (limit === null || more[dimension] <= 0 || used[dimension] + more[dimension] <= limit) return []
    return [`${more[dimension]} ${units[dimension]} wanted, ${used[dimension]} of ${limit} used`]
  })
}

type How = {
  /** Recounts only an existing member; does not add one. */
  knownOnly?: boolean
}

/**
 * Counts a member in its resource pool by one atomic conditional write, so that limits hold exactly under concurrency.
 * Idempotent: repeating it changes nothing; with other amounts the member counts these.
 * @throws ConflictError if a limit would be exceeded
 */
export async function count(poolId: string, member: Reserved, { knownOnly = false }: How = {}): Promise<void> {
  for (let attempt = 0; attempt < 100; attempt++) {
    const pool = await pools.require(poolId)
    const known = pool.members[memberKey(member)]
    if (known ? isCounted(known, member) : knownOnly) return
    const more = difference(counted(member), known ? counted(known) : none)
    const over = overruns(pool.limits, pool.used, more)
    if (over.length === 0) {
      if (await write(pool, member, known, more)) return
    } else if ((await discountLapsed(pool)) === 0)
      throw new ConflictError(`The resource pool '${pool.name}' would exceed its limits: ${over.join('; ')}`, {
        details: { pool: poolId, limits: pool.limits, used: pool.used, wanted: more },
      })
  }
  throw new ConflictError(`The resource pool '${poolId}' is changed by too many other requests; try again`, {
    retryable: true,
  })
}

function isCounted(known: Reserved, member: Reserved): boolean {
  // A reservation leaves the member of another operation untouched: the owner of ids reports that the id is taken.
  const isOfAnother = member.reserved !== undefined && known.reserved?.by !== member.reserved.by
  return isOfAnother || isSame(known, member)
}

function isSame(a: Reserved, b: Reserved) {
  return a.cpus === b.cpus && a.memory === b.memory && a.disk === b.disk && a.reserved?.until === b.reserved?.until
}

/** @returns false if the relevant part of the resource pool has changed since it was read */
async function write(pool: StoredPool, member: Reserved, known: Reserved | undefined, more: Used): Promise<boolean> {
  const key = `members.${memberKey(member)}`
  const room = dimensions.flatMap((dimension) => {
    const limit = pool.limits[dimension]
    const free =
      limit === null || more[dimension] <= 0 ? [] : [{ [`used.${dimension}`]: { $lte: limit - more[dimension] } }]
    return [{ [`limits.${dimension}`]: limit }, ...free]
  })
  const filter = { _id: pool.id, $and: [...room, asKnown(key, known)] }
  return apply(filter, { $set: { [key]: member, updated_at: now() }, $inc: { ...increments(more), version: 1 } })
}

function asKnown(key: string, known: Reserved | undefined) {
  return known
    ? {
        [`${key}.cpus`]: known.cpus,
        [`${key}.memory`]: known.memory,
        [`${key}.disk`]: known.disk,
        [`${key}.reserved.until`]: known.reserved?.until ?? { $exists: false },
      }
    : { [key]: { $exists: false } }
}

function increments(more: Used) {
  return Object.fromEntries(dimensions.map((dimension) => [`used.${dimension}`, more[dimension]]))
}

const apply = (filter: Filter, change: Update) => update(pools.model, filter, change)

type Named = Pick<Member, 'kind' | 'id'>

/**
 * Removes a member from a resource pool and returns its amounts.
 * @returns false if the member has changed since it was read
 */
function takeOut(poolId: string, known: Reserved): Promise<boolean> {
  const key = `members.${memberKey(known)}`
  const less = difference(none, counted(known))
  const update = { $unset: { [key]: '' }, $set: { updated_at: now() }, $inc: { ...increments(less), version: 1 } }
  return apply({ _id: poolId, $and: [asKnown(key, known)] }, update)
}

/** Removes a member from a resource pool and returns its amounts. @returns false if it was no member */
export async function discount(poolId: string, member: Named): Promise<boolean> {
  for (;;) {
    const known = (await pools.get(poolId))?.members[memberKey(member)]
    if (!known) return false
    if (await takeOut(poolId, known)) return true
  }
}

/** Removes the reservation of an operation; a permanent member stays. */
export async function cancelReservation(poolId: string, member: Named, by: string): Promise<void> {
  const known = (await pools.get(poolId))?.members[memberKey(member)]
  if (known?.reserved?.by === by) await takeOut(poolId, known)
}

/** Removes a member from every resource pool. */
export async function discountEverywhere(member: Named): Promise<boolean> {
  const found = await pools.all(holding(member))
  for (const { id } of found) await discount(id, member)
  return found.length > 0
}

/** Recounts a member in every resource pool it is in: in all of them, or in none if a limit would be exceeded. */
export async function recount(member: Member): Promise<void> {
  const before: [pool: string, member: Reserved][] = []
  try {
    for (const { id, members } of await pools.all(holding(member))) {
      const known = members[memberKey(member)]!
      before.push([id, known])
      await count(id, known.reserved ? { ...member, reserved: known.reserved } : member, { knownOnly: true })
    }
  } catch (error) {
    for (const [pool, known] of before) await count(pool, known, { knownOnly: true })
    throw error
  }
}

/** Removes expired reservations. @returns the number of removed members */
async function discountLapsed({ id, members }: StoredPool): Promise<number> {
  let gone = 0
  for (const member of Object.values(members))
    if (member.reserved && Date.parse(member.reserved.until) < Date.now() && (await takeOut(id, member))) gone++
  return gone
}

export async function sweepReservations(): Promise<void> {
  for (const pool of await pools.all()) await discountLapsed(pool)
}

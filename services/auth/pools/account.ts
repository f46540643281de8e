import type { Footprint, Limits, Member } from '#shared/contracts/resource-pools.ts'
import { inStore } from '#shared/db/connect.ts'
import { ConflictError } from '#shared/errors.ts'
import { now } from '#shared/events/event.ts'
import { memberKey, pools, type StoredPool } from './model.ts'

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

/** What a member counts: storage and networks nothing, they are only collected. */
export const counted = ({ kind, cpus, memory, disk }: Pick<Member, 'kind'> & Footprint): Used =>
  kind === 'vm' || kind === 'container' ? { cpus, memory, disk, instances: 1 } : none

const difference = (to: Used, from: Used): Used => ({
  cpus: to.cpus - from.cpus,
  memory: to.memory - from.memory,
  disk: to.disk - from.disk,
  instances: to.instances - from.instances,
})

/** Where a pool would go over its limits with so much more: what needs no more is never refused. */
export function overruns(limits: Limits, used: Used, more: Used): string[] {
  return dimensions.flatMap((dimension) => {
    const limit = limits[dimension]
    if (limit === null || more[dimension] <= 0 || used[dimension] + more[dimension] <= limit) return []
    return [`${used[dimension] + more[dimension]} of ${limit} ${units[dimension]}`]
  })
}

/**
 * Counts a member in its pool, in one atomic write that only goes through while there is room: so a limit holds exactly,
 * however many are counted at once. The same again changes nothing; with other amounts the member counts these.
 * @throws ConflictError when there is no room
 */
export async function count(poolId: string, member: Member): Promise<void> {
  for (let attempt = 0; attempt < 100; attempt++) {
    const pool = await pools.require(poolId)
    const known = pool.members[memberKey(member)]
    if (known && isSame(known, member)) return
    const more = difference(counted(member), known ? counted(known) : none)
    const over = overruns(pool.limits, pool.used, more)
    if (over.length > 0)
      throw new ConflictError(`The resource pool '${pool.name}' has no room: it would use ${over.join(', ')}`, {
        details: { pool: poolId, limits: pool.limits, used: pool.used },
      })
    if (await write(pool, member, known, more)) return
  }
  throw new ConflictError(`The resource pool '${poolId}' is being changed by others all the time`, { retryable: true })
}

const isSame = (a: Member, b: Member) => a.cpus === b.cpus && a.memory === b.memory && a.disk === b.disk

/** @returns whether the pool still was as it was read, as far as it matters here */
async function write(pool: StoredPool, member: Member, known: Member | undefined, more: Used): Promise<boolean> {
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

const asKnown = (key: string, known: Member | undefined) =>
  known
    ? { [`${key}.cpus`]: known.cpus, [`${key}.memory`]: known.memory, [`${key}.disk`]: known.disk }
    : { [key]: { $exists: false } }

const increments = (more: Used) =>
  Object.fromEntries(dimensions.map((dimension) => [`used.${dimension}`, more[dimension]]))

async function apply(filter: object, update: object): Promise<boolean> {
  const { modifiedCount } = await inStore(() => pools.model.updateOne(filter as never, update as never))
  return modifiedCount === 1
}

/** Takes a member out of a pool and gives back what it counted. @returns whether it was in it */
export async function discount(poolId: string, member: Pick<Member, 'kind' | 'id'>): Promise<boolean> {
  const key = `members.${memberKey(member)}`
  for (;;) {
    const known = (await pools.get(poolId))?.members[memberKey(member)]
    if (!known) return false
    const less = difference(none, counted(known))
    const filter = { _id: poolId, $and: [asKnown(key, known)] }
    const update = { $unset: { [key]: '' }, $set: { updated_at: now() }, $inc: { ...increments(less), version: 1 } }
    if (await apply(filter, update)) return true
  }
}

/** Takes a member out of every pool that it is in. */
export async function discountEverywhere(member: Pick<Member, 'kind' | 'id'>): Promise<boolean> {
  const holding = await pools.all({ [`members.${memberKey(member)}`]: { $exists: true } })
  for (const { id } of holding) await discount(id, member)
  return holding.length > 0
}

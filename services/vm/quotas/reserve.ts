import type { Quota } from '#shared/contracts/vm/snapshot-quotas.ts'
import { update } from '#shared/db/guarded.ts'
import { ConflictError } from '#shared/errors.ts'
import { countedIn } from './counted.ts'
import { quotaRecords, type Reservation, type Room, rooms } from './model.ts'
import { isInScope, liveReservations, overruns, usageOf, type Wanted, wantedBytesIn } from './usage.ts'

/** A reservation whose operation was never accepted ends after this long. */
const orphanMs = 30_000
const mostTries = 100

/** `without`: snapshots that the same operation deletes, and that are therefore not counted. */
type How = { by: string; without?: readonly string[] }

/** The quotas that count a snapshot. */
const quotasOf = async (wanted: Wanted): Promise<Quota[]> =>
  (await quotaRecords.all()).filter(({ scope }) => isInScope(scope, wanted))

async function roomOf(id: string): Promise<Room> {
  const known = await rooms.get(id)
  if (known) return known
  try {
    return await rooms.insert({ id, reservations: {} })
  } catch (error) {
    if (!(error instanceof ConflictError)) throw error
    return rooms.require(id)
  }
}

/** Writes the reservations of a quota. @returns false when others have changed them since they were read */
const write = ({ id, version }: Room, reservations: Record<string, Reservation>): Promise<boolean> =>
  update(rooms.model, { _id: id, version }, { $set: { reservations }, $inc: { version: 1 } })

type Looked = { room: Room; live: Record<string, Reservation>; over: string[] }

/** Looks for room in a quota. The room is read first: a snapshot that is recorded meanwhile has changed it. */
async function look(quota: Quota, wanted: Wanted, { without = [] }: How): Promise<Looked> {
  const room = await roomOf(quota.id)
  const found = (await countedIn(quota.scope)).filter(({ id }) => !without.includes(id) && id !== wanted.id)
  const live = liveReservations(room.reservations, found, Date.now())
  const { [wanted.id]: own, ...others } = live
  const used = usageOf(quota, found, others)
  return { room, live: others, over: own ? [] : overruns(quota, used, wantedBytesIn(quota.scope, wanted)) }
}

/** Reserves room in one quota. @param seen the first look at it. @returns the limits that would be exceeded */
async function reserveIn(quota: Quota, seen: Looked, wanted: Wanted, how: How): Promise<string[]> {
  for (let [tried, looked] = [0, seen]; tried < mostTries; tried++, looked = await look(quota, wanted, how)) {
    const { room, live, over } = looked
    if (over.length > 0) return over
    const until = new Date(Date.now() + orphanMs).toISOString()
    const own: Reservation = { bytes: wantedBytesIn(quota.scope, wanted), until, by: how.by }
    if (await write(room, { ...live, [wanted.id]: own })) return []
  }
  throw new ConflictError(`Snapshot quota '${quota.name}' is changed by too many other requests; try again`, {
    retryable: true,
  })
}

/** True for the error of {@link reserve}. */
export const isOverQuota = (error: unknown): boolean => error instanceof ConflictError && 'quotas' in error.details

const refusal = (over: { quota: Quota; over: string[] }[]) =>
  new ConflictError(
    over
      .map(({ quota: { id, name }, over: words }) => {
        return `Snapshot quota '${name}' would be exceeded: ${words.join('; ')}. Delete snapshots, or have them chosen by its policy with POST /api/snapshot-quotas/${id}/enforce {"room_count": 1, "plan": true}, or raise the limit`
      })
      .join('. '),
    { details: { quotas: over.map(({ quota: { id }, over: limits }) => ({ quota_id: id, limits })) } },
  )

/**
 * Reserves room for a snapshot in every quota that counts it, in all of them or in none. Each decision is one conditional
 * write, so that limits hold exactly under concurrency. Repeating it is fine.
 * @throws ConflictError naming all limits that would be exceeded, with the way out
 */
export async function reserve(wanted: Wanted, how: How): Promise<void> {
  const quotas = await quotasOf(wanted)
  const looked = await Promise.all(quotas.map(async (quota) => ({ quota, ...(await look(quota, wanted, how)) })))
  const full = looked.filter(({ over }) => over.length > 0)
  if (full.length > 0) throw refusal(full)
  const done: Quota[] = []
  try {
    for (const { quota, ...seen } of looked) {
      const over = await reserveIn(quota, seen, wanted, how)
      if (over.length > 0) throw refusal([{ quota, over }])
      done.push(quota)
    }
  } catch (error) {
    for (const { id } of done) await cancelIn(id, wanted.id)
    throw error
  }
}

/** Removes the reservation of a snapshot in one quota; none is fine. */
async function cancelIn(quota: string, snapshot: string): Promise<void> {
  for (let tried = 0; tried < mostTries; tried++) {
    const room = await rooms.get(quota)
    if (room?.reservations[snapshot] === undefined) return
    const { [snapshot]: _, ...others } = room.reservations
    if (await write(room, others)) return
  }
}

/** Removes the reservations of a snapshot: it has a record with its bytes, or is not made. */
export async function cancel(snapshot: string): Promise<void> {
  for (const { id } of await rooms.all({ [`reservations.${snapshot}`]: { $exists: true } }))
    await cancelIn(id, snapshot)
}

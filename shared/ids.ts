import { hash } from 'node:crypto'
import { v5, v7, validate, version } from 'uuid'
import { requestContext } from '#shared/runtime/request-context.ts'

const namespace = 'c1e3b4a2-6d0f-5a57-9a0e-5f2f0a8f7c11'

/** The same name gives the same UUID (v5), on every machine. */
export const idFrom = (name: string) => v5(name, namespace)

/**
 * A new id (UUID v7, in the order of time). Within a call that carries an idempotency key the ids follow from the key,
 * so that a call that is repeated after a crash makes the same thing and not a second one.
 */
export function newId(): string {
  const call = requestContext()
  if (!call?.idempotency) return v7()
  return idOfSeed(call.idempotency.seed, String(call.idempotency.count++))
}

/** A new id that tells the time of its making, also in a call with a seed. */
export const newIdOfNow = (): string => v7()

/** The time at which an id was made, in milliseconds since 1970; null for one that does not tell it. */
export const timeOfId = (id: string): number | null =>
  validate(id) && version(id) === 7 ? Number.parseInt(id.replaceAll('-', '').slice(0, 12), 16) : null

/** The id that follows from a seed, under a name. A seed that is a UUID v7 hands its time on, and so the order of time. */
export function idOfSeed(seed: string, name: string): string {
  const msecs = timeOfId(seed)
  if (msecs === null) return idFrom(`${seed}/${name}`)
  return v7({ msecs, random: hash('sha256', `${seed}/${name}`, 'buffer').subarray(0, 16) })
}

import { randomBytes } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { v7 } from 'uuid'
import { config } from '#shared/config/config.ts'
import { AuthenticationError } from '#shared/errors.ts'
import { now } from '#shared/events/event.ts'
import { signingKeys } from '../models.ts'
import { deriveKey, tokenLifeMs } from './tokens.ts'

type Ring = { newest: string; keys: Map<string, KeyObject>; loadedAt: number }

let ring: Ring | undefined

/** Age at which a signing key is replaced. */
const rotateAfterMs = 30 * 24 * 3_600_000
/** Maximum age of this process's copy of the keys. */
const maxAgeMs = 1000

async function load(): Promise<Ring> {
  const { jwtSecret } = config()
  if (!jwtSecret) throw new Error('HORCRUX_JWT_SECRET is not set')
  const stillNeeded = new Date(Date.now() - tokenLifeMs).toISOString()
  const inForce = { $or: [{ retired_at: null }, { retired_at: { $gt: stillNeeded } }], revoked_at: { $exists: false } }
  let stored = await signingKeys.all(inForce)
  if (!stored.some(({ retired_at }) => retired_at === null)) {
    await makeKey()
    stored = await signingKeys.all({ retired_at: null })
  }
  // Ids are ordered by time; of several active keys the newest signs.
  const newest = stored.findLast(({ retired_at }) => retired_at === null)!
  ring = {
    newest: newest.id,
    keys: new Map(stored.map(({ id, salt }) => [id, deriveKey(jwtSecret, salt)])),
    loadedAt: Date.now(),
  }
  if (Date.parse(newest.created_at) < Date.now() - rotateAfterMs) await rotateKeys()
  return ring
}

function makeKey() {
  return signingKeys.insert({
    id: v7(),
    salt: randomBytes(32).toString('base64url'),
    created_at: now(),
    retired_at: null,
  })
}

const fresh = async () => (ring && Date.now() - ring.loadedAt < maxAgeMs ? ring : load())

/**
 * Makes a new signing key. Tokens of the old keys stay valid until they expire, or become invalid at once with
 * `revoke`.
 */
export async function rotateKeys({ revoke = false }: { revoke?: boolean } = {}): Promise<{ kid: string }> {
  const old = await signingKeys.all(revoke ? {} : { retired_at: null })
  const made = await makeKey()
  const at = now()
  for (const { id } of old)
    await signingKeys.updateWhere({ _id: id }, { set: { retired_at: at, ...(revoke && { revoked_at: at }) } })
  ring = undefined
  return { kid: made.id }
}

/**
 * Requires that a signing key is not revoked. A connection opened with a token lives as long as its session, but ends
 * when the key is revoked.
 * @throws AuthenticationError
 */
export async function requireUnrevoked(kid: string): Promise<void> {
  if ((await signingKeys.get(kid))?.revoked_at !== undefined)
    throw new AuthenticationError('The token is refused: its key was revoked')
}

/** Retention of revoked keys: longer than the life of a session. */
const revokedKeptMs = 48 * 3_600_000
const before = (ms: number) => ({ $lt: new Date(Date.now() - ms).toISOString(), $gt: '' })

/** Removes keys whose last token has expired; revoked keys once every session of their time has ended. */
export function sweepKeys() {
  return signingKeys.removeWhere({
    $or: [
      { retired_at: before(2 * tokenLifeMs), revoked_at: { $exists: false } },
      { revoked_at: before(revokedKeptMs) },
    ],
  })
}

export async function signingKey(): Promise<{ kid: string; key: KeyObject }> {
  const { newest, keys } = await fresh()
  return { kid: newest, key: keys.get(newest)! }
}

/** The signing key with this id. @throws AuthenticationError if it does not exist */
export async function keyNamed(kid: string): Promise<KeyObject> {
  const known = await fresh()
  // Another replica may have made the key a moment ago, so reload; but at most every 50 ms, so that invented key ids do
  // not cause a read each.
  const { keys } = known.keys.has(kid) || Date.now() - known.loadedAt < 50 ? known : await load()
  const key = keys.get(kid)
  if (!key) throw new AuthenticationError('The token is refused: its signing key is unknown or was removed')
  return key
}

import { randomBytes } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import { recordAudit } from '#shared/audit/audit.ts'
import { requestContext } from '#shared/runtime/request-context.ts'
import { AuthenticationError } from '#shared/errors.ts'
import { now } from '#shared/events/event.ts'
import { guard } from '../sign-in/brute-force.ts'
import { apiKeys, type StoredKey } from '../models.ts'
import { newSecret, sha256 } from './opaque-secret.ts'
import { hashPassword, isPassword } from '../sign-in/passwords.ts'

/** Minimum interval between two writes of the last use. */
const noteUseEveryMs = 60_000

const refused = () => new AuthenticationError('The API key is wrong, revoked or expired')

export async function newKey(): Promise<{ id: string; key: string; secret_hash: string }> {
  const id = randomBytes(12).toString('hex')
  const secret = newSecret()
  return { id, key: `hx_${id}_${secret}`, secret_hash: await hashPassword(secret) }
}

/** Cache of verified keys for one minute, so that Argon2 does not run for each request. */
const verified = new LRUCache<string, true>({ max: 10_000, ttl: 60_000 })
const running = new Map<string, Promise<boolean>>()

async function isSecret(stored: StoredKey, secret: string, address: string): Promise<boolean> {
  // The cache key contains the stored hash, so a replaced key is verified again.
  const name = sha256(`${stored.secret_hash} ${secret}`)
  if (verified.get(name)) return true
  let check = running.get(name)
  if (!check) {
    check = verifySlowly(stored, secret, address).finally(() => running.delete(name))
    running.set(name, check)
  }
  const fits = await check
  if (fits) verified.set(name, true)
  return fits
}

/**
 * Verifies a secret with Argon2. A wrong secret for an existing key counts as a guess: it is audited, and too many of
 * them are delayed.
 */
async function verifySlowly({ id, user, secret_hash }: StoredKey, secret: string, address: string): Promise<boolean> {
  const caller = { kind: 'anonymous', address } as const
  const requestId = requestContext()?.requestId ?? 'none'
  const attempt = await guard([`api_key:${id}`], caller, requestId)
  const fits = await isPassword(secret_hash, secret)
  if (fits) await attempt.succeeded()
  else
    await recordAudit({
      caller,
      user,
      kind: 'login_failed',
      path: `/api/users/${user}/api-keys/${id}`,
      action: 'auth.identify',
      result: 'failure',
      severity: 'warning',
      request_id: requestId,
      message: 'The secret of the API key was wrong',
    })
  return fits
}

const shape = /^hx_([0-9a-f]{24})_([A-Za-z0-9_-]{43})$/

/** The API key of a request. @throws AuthenticationError if it is wrong, revoked or expired */
export async function keyShown(shown: string, address: string): Promise<StoredKey> {
  const [, id, secret] = shape.exec(shown) ?? []
  // Ids are random as well, so the faster refusal of an unknown id reveals nothing useful.
  const stored = id ? await apiKeys.get(id) : null
  if (!stored || !secret || !(await isSecret(stored, secret, address))) throw refused()
  return unexpired(stored)
}

export async function keyById(id: string): Promise<StoredKey> {
  const stored = await apiKeys.get(id)
  if (!stored) throw refused()
  return unexpired(stored)
}

function unexpired(key: StoredKey): StoredKey {
  if (key.expires_at !== null && Date.parse(key.expires_at) <= Date.now()) throw refused()
  return key
}

export async function noteKeyUse({ id, last_used_at }: StoredKey, address: string): Promise<void> {
  if (last_used_at !== null && Date.parse(last_used_at) > Date.now() - noteUseEveryMs) return
  await apiKeys.updateWhere({ _id: id }, { set: { last_used_at: now(), last_used_address: address } })
}

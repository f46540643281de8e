import { randomBytes } from 'node:crypto'
import { update } from '#shared/db/guarded.ts'
import { Secret, TOTP } from 'otpauth'
import { AuthenticationError, ConflictError } from '#shared/errors.ts'
import { seal, unseal } from '#shared/config/secrets.ts'
import { type StoredUser, users } from '../models.ts'
import { sha256 } from '../credentials/opaque-secret.ts'

type Factor = NonNullable<StoredUser['totp']>

const purpose = 'totp'
const stepMs = 30_000
/** Consecutive wrong codes after which only a recovery code, or a caller that may manage the user, can help. */
export const maxWrongCodes = 8

function totpOf(username: string, secret: Secret) {
  return new TOTP({ issuer: 'Horcrux', label: username, algorithm: 'SHA1', digits: 6, period: stepMs / 1000, secret })
}

/** Makes a TOTP secret. It is inactive until a code of it is confirmed. */
export async function beginTotp(user: StoredUser): Promise<{ secret: string; uri: string }> {
  if (user.totp?.confirmed) throw new ConflictError('The second factor is on already; switch it off first')
  const secret = new Secret({ size: 20 })
  const totp: Factor = {
    secret: seal(secret.base32, purpose),
    confirmed: false,
    last_step: 0,
    wrong_codes: 0,
    recovery_hashes: [],
  }
  await users.change(user.id, () => ({ set: { totp } }))
  return { secret: secret.base32, uri: totpOf(user.id, secret).toString() }
}

/** The time step of a code, or null. The step before and the one after are accepted too (RFC 6238, 5.2). */
export function stepOfCode(secret: string, code: string, atMs: number): number | null {
  if (!/^\d{6}$/.test(code)) return null
  const delta = totpOf('', Secret.fromBase32(secret)).validate({ token: code, timestamp: atMs, window: 1 })
  return delta === null ? null : Math.floor(atMs / stepMs) + delta
}

function newRecoveryCodes() {
  return Array.from({ length: 10 }, () =>
    randomBytes(10)
      .toString('hex')
      .replace(/(.{5})(?=.)/g, '$1-'),
  )
}

/** Enables the second factor. @returns the recovery codes; only their hashes are stored */
export async function confirmTotp(user: StoredUser, code: string): Promise<string[]> {
  const { totp } = user
  if (!totp) throw new ConflictError('Begin with POST /api/auth/totp')
  if (totp.confirmed) throw new ConflictError('The second factor is on already')
  const step = stepOfCode(unseal(totp.secret, purpose), code, Date.now())
  if (step === null) throw new AuthenticationError('The code is wrong; check the clock of the device')
  const codes = newRecoveryCodes()
  const confirmed = { ...totp, confirmed: true, last_step: step, recovery_hashes: codes.map(sha256) }
  const changed = await users.updateWhere({ _id: user.id, 'totp.secret': totp.secret }, { set: { totp: confirmed } })
  if (!changed)
    throw new ConflictError('The second factor was changed by another request at the same time; begin again')
  return codes
}

/**
 * Requires a TOTP code or a recovery code. Each is accepted once, also if two replicas receive it at once.
 * @throws AuthenticationError
 */
export async function requireCode(user: StoredUser, given: string | undefined): Promise<void> {
  const { totp } = user
  if (!totp?.confirmed) return
  if (given === undefined)
    throw new AuthenticationError('A code of the second factor is required', { details: { totp_required: true } })
  if (await takeRecoveryCode(user.id, given)) return
  const locked = { 'totp.wrong_codes': { $lt: maxWrongCodes } }
  // Counted as wrong before it is checked, so that parallel attempts gain nothing.
  if (!(await update(users.model, { _id: user.id, ...locked }, { $inc: { 'totp.wrong_codes': 1, version: 1 } })))
    throw new AuthenticationError(
      `The second factor is locked after ${maxWrongCodes} wrong codes; use a recovery code or ask an administrator`,
    )
  const step = stepOfCode(unseal(totp.secret, purpose), given, Date.now())
  if (step !== null && (await takeStep(user.id, step))) return
  throw new AuthenticationError('The code of the second factor is wrong or already used')
}

async function takeStep(id: string, step: number): Promise<boolean> {
  const fresh = { _id: id, 'totp.last_step': { $lt: step } }
  return update(users.model, fresh, { $set: { 'totp.last_step': step, 'totp.wrong_codes': 0 }, $inc: { version: 1 } })
}

async function takeRecoveryCode(id: string, given: string): Promise<boolean> {
  const hash = sha256(given.trim().toLowerCase())
  const has = { _id: id, 'totp.recovery_hashes': hash }
  const change = { $pull: { 'totp.recovery_hashes': hash }, $set: { 'totp.wrong_codes': 0 }, $inc: { version: 1 } }
  return update(users.model, has, change)
}

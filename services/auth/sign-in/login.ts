import type { SignedIn } from '#shared/contracts/access/auth.ts'
import { Username } from '#shared/contracts/access/users.ts'
import { AuthenticationError } from '#shared/errors.ts'
import { now } from '#shared/events/event.ts'
import type { Call } from '#shared/runtime/handler.ts'
import { isValid } from '#shared/contract/validate.ts'
import { guard } from './brute-force.ts'
import { type StoredSession, type StoredUser, users } from '../models.ts'
import { hashPassword, isOutdated, isPassword } from './passwords.ts'
import { beginSession, tokenFor } from '../credentials/sessions.ts'
import { requireCode } from './totp.ts'
import { userView } from '../accounts/user-view.ts'

type Credentials = { username: string; password: string; totp?: string }

/** Signs in. An unknown name, a wrong password and a disabled user get the same answer after the same time. */
export async function login(credentials: Credentials, call: Call): Promise<SignedIn> {
  const { username, password } = credentials
  const isName = isValid(Username, username)
  call.record.kind = 'login_failed'
  call.record.severity = 'warning'
  if (isName) call.record.user = username
  const address = call.caller.address ?? 'unknown'
  const subjects = [...(isName ? [`user:${username}`] : []), `address:${address}`]
  const attempt = await guard(subjects, call.caller, call.requestId)
  const user = isName ? await users.get(username) : null
  const fits = await isPassword(user?.password_hash, password)
  if (!user || !fits || !user.enabled) throw new AuthenticationError('The user name or the password is wrong')
  if (user.totp?.confirmed && credentials.totp === undefined) await attempt.withdraw()
  await requireCode(user, credentials.totp)
  await attempt.succeeded()
  await noteLogin(user, password)
  call.record.kind = 'login'
  call.record.severity = 'info'
  const session = await beginSession(user.id, address)
  call.reply.cookie = { value: session.cookie, expires_at: session.expires_at }
  return signedIn(user, session)
}

export async function signedIn(user: StoredUser, session: StoredSession): Promise<SignedIn> {
  return {
    ...(await tokenFor(session)),
    user: userView(user),
  }
}

/**
 * Rehashes the password with current parameters if the stored hash has weaker ones; possible only while the password is
 * at hand.
 */
async function noteLogin(user: StoredUser, password: string): Promise<void> {
  const password_hash = isOutdated(user.password_hash) ? await hashPassword(password) : undefined
  await users.updateWhere(
    { _id: user.id, password_hash: user.password_hash },
    { set: { last_login_at: now(), ...(password_hash !== undefined && { password_hash }) } },
  )
}

import { v7 } from 'uuid'
import { AuthenticationError } from '#shared/errors.ts'
import { now } from '#shared/events/event.ts'
import { sessions, type StoredSession } from '../models.ts'
import { newSecret, sha256 } from './opaque-secret.ts'
import { signingKey } from './signing-keys.ts'
import { signToken, tokenLifeMs } from './tokens.ts'

/** Life of a session: at most a day, and at most an hour without use. */
export const sessionLifeMs = 24 * 3_600_000
export const sessionIdleMs = 3_600_000
/** Minimum interval between two writes of the last use. */
const noteUseEveryMs = 60_000

/** Begins a session. @returns the session with the secret for the cookie, which is not stored */
export async function beginSession(user: string, address: string): Promise<StoredSession & { cookie: string }> {
  const cookie = newSecret()
  const time = now()
  const session = await sessions.insert({
    id: v7(),
    user,
    address,
    token_hash: sha256(cookie),
    created_at: time,
    updated_at: time,
    last_used_at: time,
    expires_at: new Date(Date.now() + sessionLifeMs).toISOString(),
  })
  return { ...session, cookie }
}

/** End of a session if it is not used again. */
export function endOf({ expires_at, last_used_at }: StoredSession): Date {
  return new Date(Math.min(Date.parse(expires_at), Date.parse(last_used_at) + sessionIdleMs))
}

export const sessionByCookie = async (cookie: string) => alive(await sessions.find({ token_hash: sha256(cookie) }))
export const sessionById = async (id: string) => alive(await sessions.get(id))

function alive(session: StoredSession | null): StoredSession {
  if (!session) throw new AuthenticationError('The session has ended; sign in again')
  if (endOf(session).getTime() <= Date.now()) throw new AuthenticationError('The session has expired; sign in again')
  return session
}

/** Records the use of a session for its idle limit, at most once a minute. */
export async function noteUse({ id, last_used_at }: StoredSession): Promise<void> {
  if (Date.parse(last_used_at) > Date.now() - noteUseEveryMs) return
  await sessions.updateWhere({ _id: id }, { set: { last_used_at: now() } })
}

/** Issues a token for the session, valid for at most 15 minutes. */
export async function tokenFor(session: StoredSession): Promise<{ token: string; expires_at: string }> {
  const { kid, key } = await signingKey()
  const end = Math.min(Date.now() + tokenLifeMs, Date.parse(session.expires_at))
  const expiresAt = new Date(Math.floor(end / 1000) * 1000)
  const token = signToken({ user: session.user, session: session.id, expiresAt }, kid, key)
  return { token, expires_at: expiresAt.toISOString() }
}

/** Ends all sessions of a user, except one if given. */
export function endSessionsOf(user: string, except?: string) {
  return sessions.removeWhere({ user, ...(except !== undefined && { _id: { $ne: except } }) })
}

export function sweepSessions() {
  return sessions.removeWhere({
    $or: [
      { expires_at: { $lt: now() } },
      { last_used_at: { $lt: new Date(Date.now() - sessionIdleMs - noteUseEveryMs).toISOString() } },
    ],
  })
}

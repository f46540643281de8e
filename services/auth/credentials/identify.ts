import type { CredentialRef } from '#shared/access/access.ts'
import type { Identity } from '#shared/contracts/access/auth.ts'
import { AuthenticationError } from '#shared/errors.ts'
import { keyById, keyShown, noteKeyUse } from './api-keys.ts'
import { type StoredKey, type StoredSession, users } from '../models.ts'
import { nameRights } from '../grants/rights.ts'
import { endOf, noteUse, sessionByCookie, sessionById } from './sessions.ts'
import { keyNamed, requireUnrevoked } from './signing-keys.ts'
import { keyIdOf, verifyToken } from './tokens.ts'

type Shown = { by: CredentialRef['by']; credential: string; address: string }
/** Interval after which an API key without an expiry is checked again. Milliseconds. */
const believedMs = 3_600_000

/** Identifies the user of a credential. @throws AuthenticationError with the reason */
export async function identify({ by, credential, address }: Shown): Promise<Identity> {
  if (by === 'api_key') return byKey(await keyShown(credential, address), address)
  if (by === 'session') {
    const session = await sessionByCookie(credential)
    return bySession(session, { by, id: session.id }, address)
  }
  const signed_by = keyIdOf(credential)
  const claims = verifyToken(credential, await keyNamed(signed_by))
  const session = await sessionById(claims.session)
  if (session.user !== claims.user) throw new AuthenticationError('The token is refused: it belongs to another session')
  const identity = await bySession(session, { by, id: session.id, signed_by }, address)
  const expiresAt = Math.min(Date.parse(identity.expires_at), claims.expiresAt.getTime())
  return { ...identity, expires_at: new Date(expiresAt).toISOString() }
}

/** Checks that a credential accepted earlier is still valid. @throws AuthenticationError */
export async function recheck({
  user,
  credential,
  address,
}: {
  user: string
  credential: CredentialRef
  address: string
}) {
  if (credential.signed_by !== undefined) await requireUnrevoked(credential.signed_by)
  const identity =
    credential.by === 'api_key'
      ? await byKey(await keyById(credential.id), address)
      : await bySession(await sessionById(credential.id), credential, address)
  if (identity.user !== user) throw new AuthenticationError('The credential belongs to another user')
  return identity
}

async function bySession(session: StoredSession, credential: CredentialRef, address: string): Promise<Identity> {
  await requireEnabled(session.user)
  const rights = await nameRights({ user: session.user }, { at: new Date(), address })
  await noteUse(session)
  return { user: session.user, ...rights, credential, expires_at: endOf(session).toISOString() }
}

async function byKey(key: StoredKey, address: string): Promise<Identity> {
  await requireEnabled(key.user)
  const asker = { user: key.user, ...(key.restricted && { restrictedTo: key.id }) }
  const rights = await nameRights(asker, { at: new Date(), address })
  await noteKeyUse(key, address)
  const expires_at = key.expires_at ?? new Date(Date.now() + believedMs).toISOString()
  const credential = { by: 'api_key' as const, id: key.id, ...(key.restricted && { restricted: true }) }
  return { user: key.user, ...rights, credential, expires_at }
}

async function requireEnabled(user: string): Promise<void> {
  const found = await users.get(user)
  if (!found) throw new AuthenticationError(`The user '${user}' does not exist any more`)
  if (!found.enabled) throw new AuthenticationError(`The user '${user}' is disabled`)
}

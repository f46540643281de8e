import type { Session } from '#shared/contracts/access/auth.ts'
import type { ApiKey, User } from '#shared/contracts/access/users.ts'
import type { StoredKey, StoredSession, StoredUser } from '../models.ts'
import { endOf } from '../credentials/sessions.ts'

/** The public fields of a user, without hashes and secrets. */
export function userView(user: StoredUser): User {
  return {
    username: user.id,
    full_name: user.full_name,
    email: user.email,
    enabled: user.enabled,
    totp: user.totp?.confirmed === true,
    last_login_at: user.last_login_at,
    created_at: user.created_at,
    updated_at: user.updated_at,
    version: user.version,
  }
}

export function sessionView(session: StoredSession): Session {
  return {
    id: session.id,
    user: session.user,
    address: session.address,
    created_at: session.created_at,
    last_used_at: session.last_used_at,
    expires_at: endOf(session).toISOString(),
  }
}

export const keyView = ({ secret_hash: _, updated_at: __, ...key }: StoredKey): ApiKey => key

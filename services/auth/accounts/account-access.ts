import type { Caller, CredentialRef } from '#shared/access/access.ts'
import { ForbiddenError } from '#shared/errors.ts'
import type { Call } from '#shared/runtime/handler.ts'

type UserCaller = Extract<Caller, { kind: 'user' }>

/** The calling user. @throws ForbiddenError for a service, which has no account */
export function userOf({ caller }: Call): UserCaller {
  if (caller.kind !== 'user') throw new ForbiddenError('Only a user has a password, sessions and API keys')
  return caller
}

/**
 * Refuses API keys: changes of the account itself need a sign-in, so that a stolen key cannot be turned into more
 * rights.
 */
export function refuseApiKey(call: Call, what: string): void {
  if (call.caller.kind === 'user' && call.caller.credential.by === 'api_key')
    throw new ForbiddenError(`${what} requires a sign-in with the password; an API key is not enough`)
}

/** The session of a credential (a token belongs to a session), or null for an API key. */
export const sessionIdOf = ({ by, id }: CredentialRef): string | null => (by === 'api_key' ? null : id)

/** Checks that the user signed in, with a session or token, not with an API key. */
export function isOwnSignIn({ caller }: Call, username: string): boolean {
  return caller.kind === 'user' && caller.user === username && caller.credential.by !== 'api_key'
}

/** Checks that the account is the caller's own, or that the caller may manage the user. */
export function mayManage({ caller, rights }: Call, username: string): boolean {
  return (caller.kind === 'user' && caller.user === username) || rights.allows('UserModify', `/api/users/${username}`)
}

/**
 * Checks that the caller may change the account. An API key of the user may only if it has the right to manage users.
 */
export function mayChange(call: Call, username: string): boolean {
  return isOwnSignIn(call, username) || call.rights.allows('UserModify', `/api/users/${username}`)
}

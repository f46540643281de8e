import type { Caller, CredentialRef } from '#shared/access/access.ts'
import { ForbiddenError } from '#shared/errors.ts'
import type { Call } from '#shared/runtime/handler.ts'

type UserCaller = Extract<Caller, { kind: 'user' }>

/** The user who calls. @throws ForbiddenError when it is a service, which has no account of its own */
export function userOf({ caller }: Call): UserCaller {
  if (caller.kind !== 'user') throw new ForbiddenError('Only a user has a password, sessions and API keys')
  return caller
}

/** Whoever found an API key must not be able to make more of it: what concerns the account itself takes a sign-in. */
export function refuseApiKey(call: Call, what: string): void {
  if (call.caller.kind === 'user' && call.caller.credential.by === 'api_key')
    throw new ForbiddenError(`${what} takes a session; an API key cannot do that. Sign in with the password`)
}

/** The session that is behind a proof: a token speaks for its session. */
export const sessionIdOf = ({ by, id }: CredentialRef): string | null => (by === 'api_key' ? null : id)

/** Whether it is the user who has signed in, and not a key of theirs. */
export function isOwnSignIn({ caller }: Call, username: string): boolean {
  return caller.kind === 'user' && caller.user === username && caller.credential.by !== 'api_key'
}

/** Whether it concerns the caller's own account, or they may manage that user. */
export function mayManage({ caller, rights }: Call, username: string): boolean {
  return (caller.kind === 'user' && caller.user === username) || rights.allows('UserModify', `/api/users/${username}`)
}

/** Whether the caller may change what belongs to an account: a key of the user may not, unless it may manage users. */
export function mayChange(call: Call, username: string): boolean {
  return isOwnSignIn(call, username) || call.rights.allows('UserModify', `/api/users/${username}`)
}

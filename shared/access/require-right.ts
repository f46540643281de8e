import { type Caller, type Rights, subjectOf } from '#shared/access/access.ts'
import { ForbiddenError } from '#shared/errors.ts'
import type { Privilege } from '#shared/access/privileges.ts'

/**
 * Requires a privilege of the caller. Services have all rights.
 * @param hint advice that is added to the message
 * @throws ForbiddenError with user, privilege and path
 */
export function requireRight(
  { caller, rights }: { caller: Caller; rights: Rights },
  privilege: Privilege,
  path: string,
  hint = '',
): void {
  if (caller.kind === 'service' || rights.allows(privilege, path)) return
  const user = subjectOf(caller)
  throw new ForbiddenError(`User '${user}' lacks the privilege ${privilege} on ${path}${hint}`, {
    details: { user, privilege, path },
  })
}

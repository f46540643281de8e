import { type Caller, type Rights, subjectOf } from '#shared/access/access.ts'
import { ForbiddenError } from '#shared/errors.ts'
import type { Privilege } from '#shared/access/privileges.ts'

/**
 * Services have every right.
 * @param hint what would help, for the message
 * @throws ForbiddenError naming user, privilege and path
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

import type { Right } from '#shared/access.ts'
import { ConflictError, ForbiddenError } from '#shared/errors.ts'
import type { Privilege } from '#shared/privileges.ts'
import type { Call } from '#shared/handler.ts'
import { effectiveRights, grantsOf, grantsOfGroups, reachOf } from './effective.ts'
import { covers, parsePattern } from './patterns.ts'
import { ancestry, type Policy } from './policy.ts'

/** What of `wanted` is not within `held`: for each path, the privileges that are missing there. */
export function missing(held: readonly Right[], wanted: readonly Right[]): Right[] {
  const patterns = held.map(({ path, privileges }) => ({ pattern: parsePattern(path), privileges }))
  return wanted.flatMap(({ path, privileges }) => {
    const pattern = parsePattern(path)
    const lacking = privileges.filter(
      (privilege) => !patterns.some((right) => right.privileges.includes(privilege) && covers(right.pattern, pattern)),
    )
    return lacking.length > 0 ? [{ path, privileges: lacking }] : []
  })
}

/**
 * Nobody gives what they do not have: neither by a grant, nor by a role, nor by taking over somebody who has more.
 * @throws ForbiddenError naming the first privilege and path that the caller lacks
 */
export function refuseEscalation({ caller, rights }: Call, wanted: readonly Right[], what: string): void {
  if (caller.kind === 'service') return
  const [lacking] = missing(rights.rights, wanted)
  if (!lacking) return
  const user = caller.kind === 'user' ? caller.user : 'anonymous'
  const [privilege] = lacking.privileges
  throw new ForbiddenError(
    `User '${user}' lacks the privilege ${privilege} on ${lacking.path}, and so cannot ${what}`,
    { details: { user, privilege, path: lacking.path } },
  )
}

/** What a role gives on a path, whatever the conditions of a grant. */
export const rightsOfRole = (policy: Policy, role: string, path: string): Right[] =>
  rightsOfPrivileges(policy, policy.roles.get(role) ?? [], path)

export const rightsOfPrivileges = (policy: Policy, privileges: readonly Privilege[], path: string): Right[] =>
  reachOf(policy, path).map((reached) => ({ path: reached, privileges }))

/** Everything that a user could ever do by their grants, whatever the conditions. */
export const rightsAtMost = (policy: Policy, user: string): Right[] =>
  grantsOf(policy, user).flatMap(({ grant }) => rightsOfRole(policy, grant.role, grant.path))

/** Everything that membership in a group could ever give. */
export const rightsOfGroup = (policy: Policy, id: string): Right[] =>
  grantsOfGroups(policy, ancestry(policy, [id])).flatMap(({ grant }) => rightsOfRole(policy, grant.role, grant.path))

const isAdministrator = (policy: Policy, user: string) =>
  effectiveRights({ ...policy, grants: unconditional(policy) }, { user }, { at: new Date(), address: '' }).some(
    ({ path, privileges }) => path === '/' && privileges.includes('UserModify') && privileges.includes('SysModify'),
  )

const unconditional = ({ grants }: Policy) =>
  grants.filter(({ networks, hours, expires_at }) => !networks && !hours && expires_at === undefined)

/** @throws ConflictError when nobody could administer the system any more */
export function requireAdministrator(after: Policy, enabledUsers: readonly string[]): void {
  if (enabledUsers.some((user) => isAdministrator(after, user))) return
  throw new ConflictError(
    'This would leave nobody who may administer the system at all times; give another enabled user the role Administrator on / first',
  )
}

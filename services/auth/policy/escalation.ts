import { type Caller, restrictedKeyOf, type Right, subjectOf } from '#shared/access/access.ts'
import { ConflictError, ForbiddenError } from '#shared/errors.ts'
import type { Privilege } from '#shared/access/privileges.ts'
import type { Call } from '#shared/runtime/handler.ts'
import { effectiveRights, grantsOf, grantsOfGroups, reachOf } from './effective.ts'
import { covers, parsePattern } from './patterns.ts'
import { ancestry, type Policy } from './policy.ts'

/** The part of `wanted` that is not covered by `held`: for each path the missing privileges. */
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

/** The policy, and the time until which the given rights last at most. */
type Lasting = { policy: Policy; until?: string | undefined }

/**
 * Refuses to give rights that the caller does not have: by a grant, a role, or control of a user with more rights, nor
 * for longer than the caller has them.
 * @throws ForbiddenError with the first missing privilege and path
 */
export function refuseEscalation(call: Call, wanted: readonly Right[], what: string, lasting?: Lasting): void {
  const { caller, rights } = call
  if (caller.kind === 'service') return
  const user = subjectOf(caller)
  const refuse = (lacking: Right | undefined, whenever: string) => {
    if (!lacking) return
    const [privilege] = lacking.privileges
    throw new ForbiddenError(
      `User '${user}' lacks the privilege ${privilege} on ${lacking.path}${whenever}, and so cannot ${what}`,
      { details: { user, privilege, path: lacking.path } },
    )
  }
  refuse(missing(rights.rights, wanted)[0], '')
  if (lasting && caller.kind === 'user') refuse(missing(rightsLasting(caller, lasting), wanted)[0], ' for that long')
}

const never = '9999-12-31T23:59:59Z'

/** The rights of the caller at the end of the given time. Networks and hours are ignored: they recur. */
function rightsLasting(caller: Caller & { kind: 'user' }, { policy, until = never }: Lasting): Right[] {
  const grants = policy.grants.map(({ networks: _, hours: __, ...grant }) => grant)
  const asker = { user: caller.user, restrictedTo: restrictedKeyOf(caller) }
  return effectiveRights({ ...policy, grants }, asker, { at: new Date(until), address: null })
}

/** The rights that a role gives on a path, without conditions. */
export function rightsOfRole(policy: Policy, role: string, path: string): Right[] {
  return rightsOfPrivileges(policy, policy.roles.get(role) ?? [], path)
}

export function rightsOfPrivileges(policy: Policy, privileges: readonly Privilege[], path: string): Right[] {
  return reachOf(policy, path).map((reached) => ({ path: reached, privileges }))
}

/** The maximum rights of a user by all grants, without conditions. */
export function rightsAtMost(policy: Policy, user: string): Right[] {
  return grantsOf(policy, user).flatMap(({ grant }) => rightsOfRole(policy, grant.role, grant.path))
}

/** The maximum rights that membership in a group gives. */
export function rightsOfGroup(policy: Policy, id: string): Right[] {
  return grantsOfGroups(policy, ancestry(policy, [id])).flatMap(({ grant }) =>
    rightsOfRole(policy, grant.role, grant.path),
  )
}

function isAdministrator(policy: Policy, user: string) {
  return effectiveRights({ ...policy, grants: unconditional(policy) }, { user }, { at: new Date(), address: '' }).some(
    ({ path, privileges }) => path === '/' && privileges.includes('UserModify') && privileges.includes('SysModify'),
  )
}

function unconditional({ grants }: Policy) {
  return grants.filter(({ networks, hours, expires_at }) => !networks && !hours && expires_at === undefined)
}

/** Requires that at least one enabled user keeps all privileges. @throws ConflictError */
export function requireAdministrator(after: Policy, enabledUsers: readonly string[]): void {
  if (enabledUsers.some((user) => isAdministrator(after, user))) return
  throw new ConflictError(
    'This would leave nobody who may administer the system at all times; give another enabled user the role Administrator on / first',
  )
}

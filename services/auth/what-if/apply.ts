import type { PolicyChange } from '#shared/contracts/access/permissions.ts'
import { invalid, NotFoundError, notFound, ValidationError, type Violation } from '#shared/errors.ts'
import { builtInRoles } from '#shared/access/privileges.ts'
import { canonicalPattern } from '../policy/patterns.ts'
import type { Policy, PolicyGroup, PolicyPool } from '../policy/policy.ts'
import { memberPath } from '../resource-pools/model.ts'

/** A policy and the users that are enabled. */
export type World = { policy: Policy; enabled: Set<string> }

/**
 * Applies changes one after the other to a copy.
 * @param known violations found before
 * @throws ValidationError with every change that cannot be applied
 */
export function applyChanges(
  { policy, enabled }: World,
  changes: readonly PolicyChange[],
  known: readonly Violation[] = [],
): World {
  const world: World = {
    policy: {
      grants: [...policy.grants],
      roles: new Map(policy.roles),
      groups: new Map(policy.groups),
      pools: new Map(policy.pools),
    },
    enabled: new Set(enabled),
  }
  const violations = [...known, ...changes.flatMap((change, i) => tryOne(world, change, `changes.${i}`))]
  if (violations.length > 0) throw new ValidationError(violations)
  return world
}

function tryOne(world: World, change: PolicyChange, field: string): Violation[] {
  try {
    applyOne(world, change, field)
    return []
  } catch (error) {
    if (error instanceof ValidationError) return error.violations
    if (error instanceof NotFoundError) return [{ field, code: 'unknown', message: error.message }]
    throw error
  }
}

function applyOne({ policy, enabled }: World, change: PolicyChange, field: string): void {
  switch (change.change) {
    case 'grant':
    case 'revoke':
      return applyToGrants(policy, change, field)
    case 'role':
    case 'delete_role':
      return applyToRole(policy, change, field)
    case 'member':
    case 'parents':
    case 'delete_group':
      return applyToGroup(policy, change)
    case 'pool_member':
    case 'delete_pool':
      return applyToPool(policy, change)
    case 'user':
      if (change.enabled) enabled.add(change.user)
      else enabled.delete(change.user)
  }
}

function applyToGrants(policy: Policy, given: Extract<PolicyChange, { change: 'grant' | 'revoke' }>, field: string) {
  if (given.change === 'revoke') {
    const at = policy.grants.findIndex(({ id }) => id === given.id)
    if (at < 0) throw notFound('Grant', given.id)
    policy.grants.splice(at, 1)
    return
  }
  const { change: _, ...grant } = given
  if (!policy.roles.has(grant.role)) throw invalid(`${field}.role`, `there is no role '${grant.role}'`, 'unknown')
  policy.grants.push({ ...grant, id: field, path: canonicalPattern(grant.path) })
}

function applyToRole(policy: Policy, given: Extract<PolicyChange, { change: 'role' | 'delete_role' }>, field: string) {
  if (Object.hasOwn(builtInRoles, given.name)) throw invalid(`${field}.name`, `'${given.name}' is built in`)
  if (given.change === 'role') policy.roles.set(given.name, given.privileges)
  else policy.roles.delete(given.name)
}

type GroupChange = Extract<PolicyChange, { group: string }>
type PoolChange = Extract<PolicyChange, { pool: string }>

function applyToGroup(policy: Policy, change: GroupChange): void {
  const group: PolicyGroup | undefined = policy.groups.get(change.group)
  if (!group) throw notFound('Group', change.group)
  if (change.change === 'parents') policy.groups.set(group.id, { ...group, parents: change.parents })
  else if (change.change === 'member') {
    const others = group.members.filter((name) => name !== change.user)
    policy.groups.set(group.id, { ...group, members: change.is_member ? [...others, change.user] : others })
  } else {
    policy.groups.delete(group.id)
    policy.grants = policy.grants.filter(({ subject }) => subject.kind !== 'group' || subject.id !== group.id)
  }
}

function applyToPool(policy: Policy, change: PoolChange): void {
  const pool: PolicyPool | undefined = policy.pools.get(change.pool)
  if (!pool) throw notFound('Resource pool', change.pool)
  if (change.change === 'pool_member') {
    const path = memberPath(change)
    const others = pool.members.filter((member) => member !== path)
    policy.pools.set(pool.id, { ...pool, members: change.is_member ? [...others, path] : others })
  } else {
    policy.pools.delete(pool.id)
    const own = `/api/resource-pools/${pool.id}`
    policy.grants = policy.grants.filter(({ path }) => path !== own && !path.startsWith(`${own}/`))
  }
}

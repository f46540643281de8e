import type { Witness } from '#shared/contracts/access/permissions.ts'
import type { Privilege } from '#shared/access/privileges.ts'
import type { StoredKey } from '../models.ts'
import { unmet } from './conditions.ts'
import { type Applied, grantsOf, grantsOfKey, reachOf } from './effective.ts'
import { matches, parsePattern } from './patterns.ts'
import { groupsOf, type Policy, type PolicyGrant } from './policy.ts'

/** A message on the bus holds at most 1 MiB. */
const maxWitnesses = 5000

type Question = { path: string; privilege: Privilege; at: Date }

/** The resource pools that have the resource as a member. */
export function poolsOf({ pools }: Policy, path: string): string[] {
  return [...pools.values()].flatMap(({ id, members }) => (members.includes(path) ? [id] : []))
}

/** Checks that a grant is on the resource itself or below it, and so ends with the resource. */
export const isOn = ({ path: granted }: PolicyGrant, path: string) => granted === path || granted.startsWith(`${path}/`)

/**
 * Users and API keys that have a privilege on a resource by a grant that ends with it, now. Network conditions are
 * returned for the gateway, which knows the address. A restricted key needs a grant of its own and one of its user.
 */
export function witnessesOf(policy: Policy, keys: readonly StoredKey[], { path, privilege, at }: Question): Witness[] {
  const { parts } = parsePattern(path)
  const gives = ({ role, path: granted }: PolicyGrant) =>
    policy.roles.get(role)?.includes(privilege) === true &&
    reachOf(policy, granted).some((reached) => matches(parsePattern(reached), parts))
  const giving = (applied: Applied[]) =>
    applied.flatMap(({ grant }) => (unmet(grant, { at, address: null }) === null && gives(grant) ? [grant] : []))
  const networksOf = (...grants: PolicyGrant[]) => grants.flatMap(({ networks }) => (networks ? [networks] : []))

  const ofUsers = usersOf(policy, path).flatMap((id) =>
    giving(grantsOf(policy, id)).flatMap((grant) =>
      isOn(grant, path) ? [{ kind: 'user' as const, id, networks: networksOf(grant) }] : [],
    ),
  )
  const ofKeys = keys.flatMap(({ id, user }) =>
    giving(grantsOf(policy, user)).flatMap((one) =>
      giving(grantsOfKey(policy, id)).flatMap((other) =>
        isOn(one, path) || isOn(other, path)
          ? [{ kind: 'api_key' as const, id, networks: networksOf(one, other) }]
          : [],
      ),
    ),
  )
  return [...ofUsers, ...ofKeys].slice(0, maxWitnesses)
}

/** Users with a grant on the resource, direct or by a group. */
function usersOf(policy: Policy, path: string): string[] {
  const subjects = policy.grants.flatMap((grant) => (isOn(grant, path) ? [grant.subject] : []))
  const direct = subjects.flatMap(({ kind, id }) => (kind === 'user' ? [id] : []))
  const groups = new Set(subjects.flatMap(({ kind, id }) => (kind === 'group' ? [id] : [])))
  if (groups.size === 0) return [...new Set(direct)]
  const members = new Set([...policy.groups.values()].flatMap((group) => group.members))
  const inherits = (user: string) => [...groupsOf(policy, user).keys()].some((group) => groups.has(group))
  return [...new Set([...direct, ...[...members].filter(inherits)])]
}

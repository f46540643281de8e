import { createHash } from 'node:crypto'
import type { Right } from '#shared/access/access.ts'
import { type Privilege, privileges } from '#shared/access/privileges.ts'
import { nextChange, unmet } from './conditions.ts'
import { canonicalPattern, formatPattern, intersect, matches, parsePattern } from './patterns.ts'
import { type Circumstances, groupsOf, type Policy, type PolicyGrant } from './policy.ts'

/** Principal of a check: a user, or a user restricted to the grants of an API key. */
export type Asker = { user: string; restrictedTo?: string | undefined }

/** A grant that applies to a user, and the chain of groups that leads to it (empty for a direct grant). */
export type Applied = { grant: PolicyGrant; via: string[] }

const indexes = new WeakMap<Policy, Map<string, PolicyGrant[]>>()

/** Grants by subject, from an index that is built once for each policy object; policies are immutable. */
function grantsTo(policy: Policy, kind: string, id: string): PolicyGrant[] {
  let index = indexes.get(policy)
  if (!index) {
    index = Map.groupBy(policy.grants, ({ subject }) => `${subject.kind}:${subject.id}`)
    indexes.set(policy, index)
  }
  return index.get(`${kind}:${id}`) ?? []
}

/** All grants of a user, direct and by groups, regardless of conditions. */
export function grantsOf(policy: Policy, user: string): Applied[] {
  const own = grantsTo(policy, 'user', user).map((grant) => ({ grant, via: [] }))
  return [...own, ...grantsOfGroups(policy, groupsOf(policy, user))]
}

/** All grants of these groups, each with the chain of groups that leads to it. */
export function grantsOfGroups(policy: Policy, found: Map<string, string[]>): Applied[] {
  return [...found].flatMap(([id, way]) => grantsTo(policy, 'group', id).map((grant) => ({ grant, via: way })))
}

export function grantsOfKey(policy: Policy, id: string): Applied[] {
  return grantsTo(policy, 'api_key', id).map((grant) => ({ grant, via: [] }))
}

/**
 * The path patterns that a grant covers: its own, and everything below each member of a resource pool that it covers.
 */
export function reachOf(policy: Policy, path: string): string[] {
  const pattern = parsePattern(path)
  const own = canonicalPattern(path)
  if (own === '/' || !matches({ parts: ['api', 'resource-pools'], reach: 'any' }, pattern.parts)) return [own]
  const pools = [...policy.pools.values()].filter(({ id }) => matches(pattern, ['api', 'resource-pools', id]))
  return [own, ...pools.flatMap(({ members }) => members.map((member) => `${member}/**`))]
}

/** Combines grants to rights: for each path its privileges, without duplicates. */
export function rightsOfGrants(policy: Policy, grants: readonly Applied[], circumstances: Circumstances): Right[] {
  const rights = grants
    .filter(({ grant }) => unmet(grant, circumstances) === null)
    .flatMap(({ grant }) =>
      reachOf(policy, grant.path).map((path) => ({ path, privileges: policy.roles.get(grant.role) ?? [] })),
    )
  return normalized(rights)
}

/**
 * The rights of a principal in these circumstances. For a restricted API key: the intersection of its own grants and
 * the rights of its user.
 */
export function effectiveRights(policy: Policy, { user, restrictedTo }: Asker, circumstances: Circumstances): Right[] {
  const ofUser = rightsOfGrants(policy, grantsOf(policy, user), circumstances)
  if (restrictedTo === undefined) return ofUser
  return bothHave(ofUser, rightsOfGrants(policy, grantsOfKey(policy, restrictedTo), circumstances))
}

/** The next time at which the rights may change without a change of the policy (expiry, hours), or null. */
export function rightsEnd(policy: Policy, { user, restrictedTo }: Asker, at: Date): Date | null {
  const applied = [...grantsOf(policy, user), ...(restrictedTo === undefined ? [] : grantsOfKey(policy, restrictedTo))]
  const ends = applied.flatMap(({ grant }) => nextChange(grant, at))
  return ends.length === 0 ? null : new Date(Math.min(...ends))
}

/** Exact intersection of two sets of rights: each path of one is intersected with each path of the other. */
export function bothHave(a: Right[], b: Right[]): Right[] {
  const [left, right] = [a, b].map((rights) => rights.map((r) => ({ ...r, pattern: parsePattern(r.path) }))) as [
    (Right & { pattern: ReturnType<typeof parsePattern> })[],
    (Right & { pattern: ReturnType<typeof parsePattern> })[],
  ]
  const found = left.flatMap((one) =>
    right.flatMap((other) => {
      const common = intersect(one.pattern, other.pattern)
      return common
        ? [{ path: formatPattern(common), privileges: one.privileges.filter((p) => other.privileges.includes(p)) }]
        : []
    }),
  )
  return normalized(found)
}

const order = new Map(privileges.map((privilege, i) => [privilege, i]))

/** Normal form of rights, so that equal rights have equal names. */
export function normalized(rights: Right[]): Right[] {
  const byPath = new Map<string, Set<Privilege>>()
  for (const { path, privileges } of rights) {
    if (privileges.length === 0) continue
    const known = byPath.get(path)
    if (known) for (const privilege of privileges) known.add(privilege)
    else byPath.set(path, new Set(privileges))
  }
  return [...byPath]
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([path, set]) => ({ path, privileges: [...set].toSorted((a, b) => order.get(a)! - order.get(b)!) }))
}

/** Name of rights: a hash of their normal form. */
export function nameOf(rights: Right[]) {
  return `r1-${createHash('sha256').update(JSON.stringify(rights)).digest('base64url')}`
}

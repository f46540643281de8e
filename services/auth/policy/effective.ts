import { createHash } from 'node:crypto'
import type { Right } from '#shared/access/access.ts'
import { type Privilege, privileges } from '#shared/access/privileges.ts'
import { nextChange, unmet } from './conditions.ts'
import { canonicalPattern, formatPattern, intersect, matches, parsePattern } from './patterns.ts'
import { type Circumstances, groupsOf, type Policy, type PolicyGrant } from './policy.ts'

/** Who asks: a user, or a user by an API key that has only its own grants. */
export type Asker = { user: string; restrictedTo?: string | undefined }

/** A grant that applies to somebody, and the groups that lead to it (none when it is their own). */
export type Applied = { grant: PolicyGrant; via: string[] }

const indexes = new WeakMap<Policy, Map<string, PolicyGrant[]>>()

/** A policy is never changed once it is made, so its grants are sorted by their subjects once. */
function grantsTo(policy: Policy, kind: string, id: string): PolicyGrant[] {
  let index = indexes.get(policy)
  if (!index) {
    index = Map.groupBy(policy.grants, ({ subject }) => `${subject.kind}:${subject.id}`)
    indexes.set(policy, index)
  }
  return index.get(`${kind}:${id}`) ?? []
}

/** Every grant of a user, own or by groups, whether its conditions hold or not. */
export function grantsOf(policy: Policy, user: string): Applied[] {
  const own = grantsTo(policy, 'user', user).map((grant) => ({ grant, via: [] }))
  return [...own, ...grantsOfGroups(policy, groupsOf(policy, user))]
}

/** Every grant of these groups, each with the way that leads to it. */
export function grantsOfGroups(policy: Policy, found: Map<string, string[]>): Applied[] {
  return [...found].flatMap(([id, way]) => grantsTo(policy, 'group', id).map((grant) => ({ grant, via: way })))
}

export function grantsOfKey(policy: Policy, id: string): Applied[] {
  return grantsTo(policy, 'api_key', id).map((grant) => ({ grant, via: [] }))
}

/** The patterns in which a grant holds: its own, and all below each member of each pool that it covers. */
export function reachOf(policy: Policy, path: string): string[] {
  const pattern = parsePattern(path)
  const own = canonicalPattern(path)
  if (own === '/' || !matches({ parts: ['api', 'resource-pools'], reach: 'any' }, pattern.parts)) return [own]
  const pools = [...policy.pools.values()].filter(({ id }) => matches(pattern, ['api', 'resource-pools', id]))
  return [own, ...pools.flatMap(({ members }) => members.map((member) => `${member}/**`))]
}

/** What grants come down to: for each path the privileges there, each once. */
export function rightsOfGrants(policy: Policy, grants: readonly Applied[], circumstances: Circumstances): Right[] {
  const rights = grants
    .filter(({ grant }) => unmet(grant, circumstances) === null)
    .flatMap(({ grant }) =>
      reachOf(policy, grant.path).map((path) => ({ path, privileges: policy.roles.get(grant.role) ?? [] })),
    )
  return normalized(rights)
}

/** What somebody may do, in these circumstances. A restricted API key has of its grants what its user has too. */
export function effectiveRights(policy: Policy, { user, restrictedTo }: Asker, circumstances: Circumstances): Right[] {
  const ofUser = rightsOfGrants(policy, grantsOf(policy, user), circumstances)
  if (restrictedTo === undefined) return ofUser
  return bothHave(ofUser, rightsOfGrants(policy, grantsOfKey(policy, restrictedTo), circumstances))
}

/** The next moment at which somebody's rights may change though nobody changes them, or null. */
export function rightsEnd(policy: Policy, { user, restrictedTo }: Asker, at: Date): Date | null {
  const applied = [...grantsOf(policy, user), ...(restrictedTo === undefined ? [] : grantsOfKey(policy, restrictedTo))]
  const ends = applied.flatMap(({ grant }) => nextChange(grant, at))
  return ends.length === 0 ? null : new Date(Math.min(...ends))
}

/** The rights that are in both, exactly: each path of the one cut with each of the other. */
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

/** The one way in which these rights are written, so that equal rights have an equal name. */
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

/** The name of rights: by their content. */
export function nameOf(rights: Right[]) {
  return `r1-${createHash('sha256').update(JSON.stringify(rights)).digest('base64url')}`
}

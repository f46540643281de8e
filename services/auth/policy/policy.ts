import type { Hours, Subject } from '#shared/contracts/access/permissions.ts'
import type { Privilege } from '#shared/access/privileges.ts'

/** The fields of a grant that access decisions need. */
export type PolicyGrant = {
  id: string
  subject: Subject
  role: string
  path: string
  networks?: string[] | undefined
  hours?: Hours | undefined
  expires_at?: string | undefined
}
/** A group: its members, and the parent groups whose grants it inherits. */
export type PolicyGroup = { id: string; parents: string[]; members: string[] }
/** A resource pool: the paths of its members. */
export type PolicyPool = { id: string; members: string[] }

/** All stored data that access decisions depend on. Immutable. */
export type Policy = {
  grants: PolicyGrant[]
  roles: Map<string, readonly Privilege[]>
  groups: Map<string, PolicyGroup>
  pools: Map<string, PolicyPool>
}

/** Time and address of a request, for the conditions of grants. Without an address, network conditions are met. */
export type Circumstances = { at: Date; address: string | null }

/** The groups of a user and all their ancestors, each once, with the chain of groups that leads to it. */
export function groupsOf(policy: Policy, user: string): Map<string, string[]> {
  return ancestry(policy, memberships(policy).get(user) ?? [])
}

const byMember = new WeakMap<Policy, Map<string, string[]>>()

/** The direct groups of each user, indexed once for each policy object. */
function memberships(policy: Policy): Map<string, string[]> {
  let found = byMember.get(policy)
  if (!found) {
    found = new Map()
    for (const { id, members } of policy.groups.values())
      for (const member of members) found.set(member, [...(found.get(member) ?? []), id])
    byMember.set(policy, found)
  }
  return found
}

/** These groups and all their ancestors, each once, with the shortest chain that leads to it. */
export function ancestry(policy: Policy, ids: string[]): Map<string, string[]> {
  const found = new Map<string, string[]>()
  const queue = ids.map((id) => ({ id, way: [id] }))
  for (const { id, way } of queue) {
    const group = policy.groups.get(id)
    if (!group || found.has(id)) continue
    found.set(id, way)
    for (const parent of group.parents) queue.push({ id: parent, way: [...way, parent] })
  }
  return found
}

/** Finds a cycle of parents through this group. @returns the cycle, or null */
export function cycleThrough(groups: Map<string, PolicyGroup>, id: string): string[] | null {
  const seen = new Set<string>()
  const visit = (at: string, way: string[]): string[] | null => {
    for (const parent of groups.get(at)?.parents ?? []) {
      if (parent === id) return [...way, parent]
      if (seen.has(parent)) continue
      seen.add(parent)
      const found = visit(parent, [...way, parent])
      if (found) return found
    }
    return null
  }
  return visit(id, [id])
}

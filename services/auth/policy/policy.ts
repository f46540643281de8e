import type { Hours, Subject } from '#shared/contracts/access/permissions.ts'
import type { Privilege } from '#shared/access/privileges.ts'

/** A grant as decisions need it. */
export type PolicyGrant = {
  id: string
  subject: Subject
  role: string
  path: string
  networks?: string[] | undefined
  hours?: Hours | undefined
  expires_at?: string | undefined
}
/** A group has its members, and inherits the grants of its parents. */
export type PolicyGroup = { id: string; parents: string[]; members: string[] }
/** A pool's members, as paths of their resources. */
export type PolicyPool = { id: string; members: string[] }

/** Everything that decisions follow from, beside who asks, when and from where. */
export type Policy = {
  grants: PolicyGrant[]
  roles: Map<string, readonly Privilege[]>
  groups: Map<string, PolicyGroup>
  pools: Map<string, PolicyPool>
}

/** Circumstances of a request, for the conditions of grants. Without an address every network counts as the right one. */
export type Circumstances = { at: Date; address: string | null }

/** The groups that a user is in, and all that they inherit from, each once and with the way that leads to it. */
export function groupsOf(policy: Policy, user: string): Map<string, string[]> {
  return ancestry(policy, memberships(policy).get(user) ?? [])
}

const byMember = new WeakMap<Policy, Map<string, string[]>>()

/** The groups that each user is directly in; a policy is never changed once it is made. */
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

/** These groups and all that they inherit from, each once and with the shortest way that leads to it. */
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

/** Whether the group would inherit from itself. @returns the way round, or null */
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

import type { Right } from '#shared/access/access.ts'
import type { WhatIf } from '#shared/contracts/access/permissions.ts'
import { effectiveRights, reachOf } from '../policy/effective.ts'
import { parsePattern } from '../policy/patterns.ts'
import type { Circumstances } from '../policy/policy.ts'
import type { World } from './apply.ts'
import { compare, type PathTree, privilegesOf, treeOf, trieOf } from './compare.ts'

type Question = {
  users: readonly string[]
  /** Paths of resources; none means every possible path. */
  resources?: readonly string[] | undefined
  circumstances: Circumstances
  /** Maximum number of listed pairs of user and path. */
  limit: number
}

/** Computes the gained and lost privileges of each user on each path between two policies. */
export function whatIf(before: World, after: World, { users, resources, circumstances, limit }: Question): WhatIf {
  const names = resources ?? everyPath([before, after])
  const { tree, order } = treeOf(names.map(partsOf))
  const rightsIn = ({ policy, enabled }: World, user: string): Right[] =>
    enabled.has(user) ? effectiveRights(policy, { user }, circumstances) : []
  const found: WhatIf = {
    users: users.length,
    resources: order.length,
    users_changed: 0,
    total: 0,
    truncated: false,
    data: [],
  }
  let listed = 0
  const compareUser = comparer(tree)
  for (const user of users) {
    const runs = compareUser(rightsIn(before, user), rightsIn(after, user))
    if (runs.length === 0) continue
    found.users_changed++
    const byKind = new Map<string, WhatIf['data'][number]>()
    for (const [from, to, gains, loses] of runs) {
      found.total += to - from
      const room = Math.min(to, from + limit - listed)
      if (room <= from) continue
      const kind = `${gains} ${loses}`
      const entry = byKind.get(kind) ?? { user, gains: privilegesOf(gains), loses: privilegesOf(loses), paths: [] }
      byKind.set(kind, entry)
      for (let at = from; at < room; at++) entry.paths.push(names[order[at]!]!)
      listed += room - from
    }
    found.data.push(...byKind.values())
  }
  found.truncated = listed < found.total
  return found
}

type Run = [from: number, to: number, gains: number, loses: number]

/** Compares users with the same rights before and after only once. */
function comparer(tree: PathTree): (before: Right[], after: Right[]) => Run[] {
  const known = new Map<string, Run[]>()
  return (before, after) => {
    const [a, b] = [JSON.stringify(before), JSON.stringify(after)]
    if (a === b) return []
    const key = `${a} ${b}`
    let runs = known.get(key)
    if (!runs) {
      const made: Run[] = []
      compare(trieOf(before), trieOf(after), tree, (...run) => made.push(run))
      // The cache is bounded: more than a thousand classes of users are unusual.
      if (known.size < 1000) known.set(key, made)
      runs = made
    }
    return runs
  }
}

const other = '\0'

/** Here `/a/*` and `/a/**` stand for all direct, or deeper, paths in `/a` that are not named otherwise. */
function partsOf(path: string): string[] {
  const { parts, reach } = parsePattern(path)
  if (path === '/') return []
  if (reach === 'one') return [...parts, other]
  return reach === 'any' ? [...parts, other, other] : parts
}

/**
 * All distinct kinds of paths: those named by a grant or a resource pool, other direct children of them, and deeper
 * paths. Within a kind, the rights of a user are the same for all paths.
 */
function everyPath(worlds: World[]): string[] {
  const named = new Set<string>()
  for (const { policy } of worlds)
    for (const { path } of policy.grants)
      for (const reached of reachOf(policy, path)) {
        const { parts } = parsePattern(reached)
        for (let depth = 0; depth <= parts.length; depth++) named.add(`/${parts.slice(0, depth).join('/')}`)
      }
  named.add('/')
  return [...named].flatMap((path) => {
    const below = path === '/' ? '' : path
    return [path, `${below}/*`, `${below}/**`]
  })
}

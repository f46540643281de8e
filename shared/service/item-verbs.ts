import type { Rights } from '#shared/access/access.ts'
import { type Action, type Change, type Contract, fillPath, isChange, onPath } from '#shared/contract/contract.ts'
import { obstacleText, obstacleTo } from '#shared/contract/possible.ts'

type Record = { [field: string]: unknown }
type Refusals = { [verb: string]: { error: 'FORBIDDEN' | 'CONFLICT'; message: string } }
export type Verbs = { can: string[]; cannot: Refusals }

/** A change of one item of a list. `key`: the parameter of its route that names the item. */
export type ItemVerb = { verb: string; key: string; action: Change }

const parametersOf = (path: string) => [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name!)

/**
 * The changes of the items of a list: of the same contract, with a route that goes on from the list's by one parameter.
 * A change whose right is on another resource than its item, such as that of a copy, is none of them.
 */
export function itemVerbsOf(contract: Contract, list: Action): ItemVerb[] {
  const [, listPath = ''] = list.rest?.split(' ') ?? []
  return Object.entries(contract.actions).flatMap(([verb, action]) => {
    const [, path = ''] = action.rest?.split(' ') ?? []
    if (!isChange(action) || !path.startsWith(`${listPath}/{`)) return []
    const known = parametersOf(listPath)
    const [key, ...more] = parametersOf(path.slice(listPath.length))
    if (key === undefined || more.length > 0) return []
    const needed = action.can.includes(' on ') ? parametersOf(action.can) : []
    return needed.every((name) => name === key || known.includes(name)) ? [{ verb, key, action }] : []
  })
}

/** Why a caller may not do it, or cannot do it now; undefined if it is possible. */
export function refusalOf(
  { key, action }: ItemVerb,
  item: Record,
  params: Record,
  rights: Rights,
): Refusals[string] | undefined {
  if (action.can.includes(' on ')) {
    // Checked above: a privilege on a path.
    const { privilege, path } = onPath(action.can as Parameters<typeof onPath>[0])
    const on = fillPath(path, { ...params, [key]: item[key] ?? item['id'] ?? item['name'] })
    if (!rights.allows(privilege, on)) return { error: 'FORBIDDEN', message: `takes ${privilege} on ${on}` }
  }
  const obstacle = obstacleTo(action.possible, item)
  return obstacle && { error: 'CONFLICT', message: obstacleText(obstacle) }
}

/** The actions that a caller may do with an item in its state, and the reasons against the others. */
export function verbsFor(verbs: readonly ItemVerb[], item: Record, params: Record, rights: Rights): Verbs {
  const can: string[] = []
  const cannot: Refusals = {}
  for (const each of verbs) {
    const refusal = refusalOf(each, item, params, rights)
    if (refusal) cannot[each.verb] = refusal
    else can.push(each.verb)
  }
  return { can, cannot }
}

/** A page of a list with the verbs of each item: the answer to `can=1`. */
export function withVerbs(contract: Contract, list: Action, page: unknown, params: Record, rights: Rights): unknown {
  // The parameter `can` is one of lists only.
  const { data, ...rest } = page as { data: Record[] }
  const verbs = itemVerbsOf(contract, list)
  return { ...rest, data: data.map((item) => ({ ...item, ...verbsFor(verbs, item, params, rights) })) }
}

import type { MaySee, Rights } from '#shared/access/access.ts'
import { type Action, fillPath, onPath } from '#shared/contract/contract.ts'

/** The items of a list that a caller may see, by the `itemAccess` of its contract. */
export function maySeeOf(action: Action, rights: Rights): MaySee {
  const itemAccess = 'itemAccess' in action ? action.itemAccess : undefined
  if (!itemAccess) return { all: true, item: () => true }
  const { privilege, path } = onPath(itemAccess)
  return { all: rights.allows(privilege, '/'), item: (id) => rights.allows(privilege, fillPath(path, { id })) }
}

import { isReachedFrom, type Pool } from '#shared/contracts/storage/pools.ts'

/** `field`: the parameter that names a storage pool, for the message. */
type Wanted = { node: string; pool: string | undefined; field: string }

/**
 * Chooses the storage pool on a node for a copy of a volume: the wanted one, else the volume's own if the node reaches it,
 * else the only one that suits. @returns the storage pool, or why there is none
 */
export function poolForCopy(here: Pool, all: readonly Pool[], { node, pool: wanted, field }: Wanted): Pool | string {
  const usable = all.filter(
    (pool) => pool.state === 'active' && pool.capabilities.formats.length > 0 && isReachedFrom(pool, node),
  )
  if (wanted !== undefined) {
    const found = all.find(({ id }) => id === wanted)
    if (!found) return `there is no storage pool '${wanted}'`
    return usable.includes(found)
      ? found
      : `node '${node}' does not reach storage pool '${wanted}', or it is not active`
  }
  if (usable.includes(here)) return here
  const alike = usable.filter(({ type, nodes }) => type === here.type && nodes?.length === 1)
  const candidates = alike.length > 0 ? alike : usable
  if (candidates.length === 1) return candidates[0]!
  const names = candidates.map(({ id }) => id).join(', ')
  return candidates.length === 0
    ? `node '${node}' has no storage pool for it`
    : `node '${node}' has several storage pools for it (${names}): name one in ${field}`
}

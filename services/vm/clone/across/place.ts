import { isReachedFrom, type Pool } from '#shared/contracts/storage/pools.ts'
import type { Violation } from '#shared/errors.ts'
import { newDeviceId } from '../../hardware/devices/named.ts'
import type { Pooled } from '../../hardware/plan.ts'
import type { ClonedDisk } from '../disks.ts'

type Wanted = { id: string; node: string; pool: string | undefined }

const canHold = (pool: Pool, node: string) =>
  pool.state === 'active' && pool.capabilities.formats.length > 0 && isReachedFrom(pool, node)

/** The storage pool of a copy: the wanted one, else the source's if the node reaches it, else the only one that suits. */
function poolFor(here: Pool, all: readonly Pool[], { node, pool: wanted }: Wanted): Pool | string {
  const usable = all.filter((pool) => canHold(pool, node))
  if (wanted !== undefined) {
    const found = all.find(({ id }) => id === wanted)
    if (!found) return `Storage pool '${wanted}' not found`
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
    : `node '${node}' has several storage pools for it (${names}): name one in pool`
}

/**
 * Places the disks of a clone on another node. `isSent`: the target node does not reach the source, so that the bytes go
 * through the connections to both nodes.
 */
export function placeAcross(
  source: readonly Pooled[],
  all: readonly Pool[],
  wanted: Wanted,
): { disks: ClonedDisk[]; violations: Violation[] } {
  const violations: Violation[] = []
  const disks = source.flatMap((disk, index): ClonedDisk[] => {
    const here = all.find(({ id }) => id === disk.pool)
    const chosen = here ? poolFor(here, all, wanted) : `Storage pool '${disk.pool}' not found`
    if (!here || typeof chosen === 'string') {
      violations.push({
        field: 'pool',
        code: 'no_pool',
        message: `disk ${disk.id} in '${disk.pool}': ${chosen as string}`,
      })
      return []
    }
    const { formats, default_format } = chosen.capabilities
    const format = formats.includes(disk.format) ? disk.format : (default_format ?? disk.format)
    // A copy has no backing files of the source.
    const { reads: _, ...kept } = disk
    const volume = `${wanted.id}-disk-${index}`
    return [
      {
        source: disk,
        target: { ...kept, device_id: newDeviceId(), pool: chosen.id, volume, format },
        ...(!isReachedFrom(here, wanted.node) && { isSent: true as const }),
      },
    ]
  })
  return { disks, violations }
}

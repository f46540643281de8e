import { poolForCopy } from '#shared/contracts/storage/pool-for-copy.ts'
import { isReachedFrom, type Pool } from '#shared/contracts/storage/pools.ts'
import type { Violation } from '#shared/errors.ts'
import { newDeviceId } from '../../hardware/devices/named.ts'
import type { Pooled } from '../../hardware/plan.ts'
import type { ClonedDisk } from '../disks.ts'

type Wanted = { id: string; node: string; pool: string | undefined }

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
    const chosen = here ? poolForCopy(here, all, { ...wanted, field: 'pool' }) : `Storage pool '${disk.pool}' not found`
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

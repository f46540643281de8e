import { poolForCopy } from '#shared/contracts/storage/pool-for-copy.ts'
import { isReachedFrom, type Pool } from '#shared/contracts/storage/pools.ts'
import type { TargetDisk } from '#shared/contracts/vm/moves.ts'
import type { Vm } from '#shared/contracts/vm/vms.ts'
import type { Violation } from '#shared/errors.ts'

export type Disks = { disks: TargetDisk[]; violations: Violation[]; warnings: string[] }

/** Decides for each disk of a VM whether both nodes reach it, and otherwise where its bytes go. */
export function placeDisks(vm: Pick<Vm, 'disks'>, pools: Pool[], node: string, wanted: string | undefined): Disks {
  const violations: Violation[] = []
  const warnings: string[] = []
  const disks = vm.disks.flatMap((disk): TargetDisk[] => {
    const { id, pool: poolId, volume, format } = disk
    const here = pools.find((pool) => pool.id === poolId)
    if (!here || volume === null) return []
    const from = { id, source_pool: here.id, source_volume: volume }
    if (isReachedFrom(here, node)) {
      if (disk.cache !== 'none' && disk.cache !== 'default' && disk.cache !== 'directsync')
        violations.push({
          field: 'disks',
          code: 'cache',
          message: `its disk ${id} has the cache ${disk.cache}, of which the other node would not see all: use none`,
        })
      return [{ ...from, pool: here.id, volume, format, is_copied: false }]
    }
    const chosen = poolForCopy(here, pools, { node, pool: wanted, field: 'target_pool' })
    if (typeof chosen === 'string') {
      violations.push({ field: 'target_pool', code: 'no_pool', message: `disk ${id} in '${here.id}': ${chosen}` })
      return []
    }
    if (disk.readonly) warnings.push(`Disk ${id} is read-only; its copy can be written by others`)
    const { formats, default_format } = chosen.capabilities
    return [
      {
        ...from,
        pool: chosen.id,
        volume,
        format: formats.includes(format) ? format : (default_format ?? format),
        is_copied: true,
      },
    ]
  })
  return { disks, violations, warnings }
}

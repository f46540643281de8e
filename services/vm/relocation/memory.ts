import type { Params, Result } from '#shared/contract/contract.ts'
import type { moves } from '#shared/contracts/vm/moves.ts'
import { AppError } from '#shared/errors.ts'
import { driverOf } from '../drivers/drivers.ts'
import { vmRecords } from '../model.ts'
import { movesOf } from './target.ts'

/** Reads the memory of a guest, and how fast it changes. */
export async function memory({ id }: Params<typeof moves, 'memory'>): Promise<Result<typeof moves, 'memory'>> {
  const vm = await vmRecords.require(id)
  const used = driverOf(vm)
    .statistics?.read(vm)
    .catch((error: unknown) => {
      if (error instanceof AppError) return null
      throw error
    })
  const [stats, dirty] = await Promise.all([used, vm.status === 'paused' ? 0 : movesOf(vm).dirtyMibPerSecond(vm)])
  return { memory_mib: vm.memory, used_mib: stats?.memory_rss_mib ?? null, dirty_mib_per_second: dirty }
}

import type { Params, Result } from '#shared/contract/contract.ts'
import type { moves } from '#shared/contracts/vm/moves.ts'
import { AppError } from '#shared/errors.ts'
import { driverOf } from '../drivers/drivers.ts'
import { vmRecords } from '../model.ts'
import { statusNow } from '../state/status.ts'
import { movesOf } from './target.ts'

/** The answer; null when it is refused, or there is none. */
async function orNull<T>(ask: () => Promise<T> | undefined): Promise<T | null> {
  try {
    return (await ask()) ?? null
  } catch (error) {
    if (error instanceof AppError) return null
    throw error
  }
}

/** Reads a guest for the checks of its health, from its own node. */
export async function probe({ id }: Params<typeof moves, 'probe'>): Promise<Result<typeof moves, 'probe'>> {
  const vm = await vmRecords.require(id)
  const { statistics, agent } = driverOf(vm)
  const [{ status }, process, stats, agentView] = await Promise.all([
    statusNow(vm),
    movesOf(vm).probe(vm),
    orNull(() => statistics?.read(vm)),
    orNull(() => agent?.view(vm)),
  ])
  return {
    status,
    monitor_error: process.error,
    memory_mib: stats?.memory_mib ?? null,
    cpus: process.cpus,
    broken_disks: process.brokenDisks,
    nics: stats?.nics.length ?? null,
    has_agent: agentView?.connected === true,
  }
}

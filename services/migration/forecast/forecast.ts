import { call } from '#shared/bus/call.ts'
import type { Forecast, MemoryProbe } from '#shared/contracts/migration/forecast.ts'
import type { MigrationType } from '#shared/contracts/migration/migrations.ts'
import { moves } from '#shared/contracts/vm/moves.ts'
import { AppError } from '#shared/errors.ts'
import { migrationRecords } from '../model.ts'
import { foresee } from './foresee.ts'

/** The longest pause that is planned for each type. Milliseconds. */
export const maxPauseMs = { live: 300, online: 500 } as const
/** Outcomes that a forecast is made from. */
const newest = 50

const completed = async (of: object) =>
  (
    await migrationRecords.list(
      { limit: newest, sort: '-created_at' },
      { all: true, item: () => true },
      { ...of, outcome: 'completed', migration_type: { $ne: 'offline' } },
    )
  ).data

type Wanted = {
  vm_id: string
  source_node: string
  target_node: string
  migration_type: MigrationType
  bandwidth_limit: number
  auto_converge: boolean
  disk_bytes: number
}

/** Samples a guest's memory for a second; null when that is not possible in time. */
export async function sampleMemory(id: string, timeoutMs: number): Promise<MemoryProbe | null> {
  try {
    return await call(moves, 'memory', { id }, { timeoutMs })
  } catch (error) {
    // A forecast keeps nothing from moving.
    if (error instanceof AppError) return null
    throw error
  }
}

/** Foretells a migration from the sampled memory of its guest; null for a guest that is off, or was not sampled. */
export async function forecastOf(wanted: Wanted, memory: MemoryProbe | null): Promise<Forecast | null> {
  const { source_node, target_node, migration_type, bandwidth_limit } = wanted
  if (migration_type === 'offline' || memory === null) return null
  const [between, all] = await Promise.all([completed({ source_node, target_node }), completed({})])
  return foresee({
    memory,
    diskBytes: wanted.disk_bytes,
    limitMib: bandwidth_limit,
    autoConverge: wanted.auto_converge,
    maxPauseMs: maxPauseMs[migration_type],
    between,
    all,
  })
}

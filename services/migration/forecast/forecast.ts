import { call } from '#shared/bus/call.ts'
import type { Forecast } from '#shared/contracts/migration/forecast.ts'
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

/** Foretells a migration; takes a second, in which the guest's memory is sampled. Null for one of a guest that is off. */
export async function forecastOf(wanted: Wanted): Promise<Forecast | null> {
  const { vm_id: id, source_node, target_node, migration_type, bandwidth_limit } = wanted
  if (migration_type === 'offline') return null
  try {
    const [memory, between, all] = await Promise.all([
      call(moves, 'memory', { id }, { timeoutMs: 30_000 }),
      completed({ source_node, target_node }),
      completed({}),
    ])
    return foresee({
      memory,
      diskBytes: wanted.disk_bytes,
      limitMib: bandwidth_limit,
      autoConverge: wanted.auto_converge,
      maxPauseMs: maxPauseMs[migration_type],
      between,
      all,
    })
  } catch (error) {
    // A forecast keeps nothing from moving.
    if (error instanceof AppError) return null
    throw error
  }
}

import { call } from '#shared/bus/call.ts'
import { migrations } from '#shared/contracts/migration/migrations.ts'
import { AppError } from '#shared/errors.ts'
import { every } from '#shared/runtime/repeat.ts'
import { type MigrationRecord, migrationRecords } from '../model.ts'

const sweepEveryMs = 5000
/** Refusals within this time may be over in a moment, such as the lock of the migration that has just ended. */
const insistMs = 60_000

/** The storage pool that all copied disks came from; undefined for several, which are chosen anew. */
function sourcePool({ disks }: MigrationRecord): string | undefined {
  const pools = new Set(disks.flatMap(({ is_copied, source_pool }) => (is_copied ? [source_pool] : [])))
  return pools.size === 1 ? [...pools][0] : undefined
}

const failedChecks = ({ health }: MigrationRecord) =>
  health!.checks.filter(({ status }) => status === 'failed' || status === 'timeout').map(({ name }) => name)

/**
 * Starts the migration that brings a guest back. Its id follows from that of the first one, so that all replicas, and all
 * tries, start the same operation.
 */
async function moveBack(migration: MigrationRecord): Promise<void> {
  const { id, vm_id, source_node: target_node, migration_type, bandwidth_limit, health, ended_at } = migration
  const back = health!.move_back!
  const target_pool = sourcePool(migration)
  const reason = `Failed health checks of migration ${id}: ${failedChecks(migration).join(', ')}`.slice(0, 500)
  const wish = { vm_id, target_node, migration_type, bandwidth_limit, reason, ...(target_pool && { target_pool }) }
  const note = (state: 'started' | 'refused', error: string | null) =>
    migrationRecords.change(id, () => ({ set: { health: { ...health!, move_back: { ...back, state, error } } } }))
  try {
    await call(migrations, 'start', wish, { operationId: back.migration_id, timeoutMs: 60_000 })
    await note('started', null)
  } catch (error) {
    if (!(error instanceof AppError)) throw error
    const isYoung = ended_at !== null && Date.now() - Date.parse(ended_at) < insistMs
    if ((error.status === 409 || error.status === 503) && isYoung) return
    await note('refused', error.message)
  }
}

/** Starts the migrations that bring guests back, once the migration that failed its checks has ended. */
export const sweepMovesBack = (): (() => void) =>
  every(
    sweepEveryMs,
    async () => {
      for (const migration of await migrationRecords.all({ 'health.move_back.state': 'waiting' }))
        if (migration.outcome !== null) await moveBack(migration)
    },
    { part: 'migrations', failed: 'a guest that failed its checks was not moved back' },
  )

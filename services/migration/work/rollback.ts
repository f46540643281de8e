import { call } from '#shared/bus/call.ts'
import { type Rollback, rollbackSteps } from '#shared/contracts/migration/migrations.ts'
import { volumesInternal } from '#shared/contracts/storage/volumes-internal.ts'
import { moves } from '#shared/contracts/vm/moves.ts'
import { AppError } from '#shared/errors.ts'
import { now } from '#shared/events/event.ts'
import { type MigrationRecord, migrationRecords } from '../model.ts'
import { vmPath } from '../plan/plan.ts'
import { finish } from './finish.ts'
import { givePlacesBack } from './places.ts'

type Step = (typeof rollbackSteps)[number]

/** Finds out on which node the guest is, and clears the other one of it. */
async function settle({ vm_id: id, target_node: target, is_paused }: MigrationRecord): Promise<'source' | 'target'> {
  return (await call(moves, 'settle', { id, target, is_paused }, { timeoutMs: 90_000 })).is_at
}

/** The work of each step. Each may be repeated, and none trusts that another one was done. */
const works: Record<Step, (migration: MigrationRecord) => Promise<unknown>> = {
  cleanup_target_disks: async ({ vm_id, disks }) => {
    for (const { pool: id, volume, is_copied } of disks)
      if (is_copied)
        await call(volumesInternal, 'deleteFor', { id, volume, owner: vmPath(vm_id) }, { timeoutMs: 60_000 })
  },
  unregister_target_vm: ({ vm_id, target_node }) =>
    call(moves, 'forget', { id: vm_id, node: target_node }, { timeoutMs: 60_000 }),
  release_target_resources: ({ id, source_node, target_node }) => givePlacesBack([source_node, target_node], id),
  restore_source_config: ({ id, vm_id }) => call(moves, 'end', { id: vm_id, operation: id }),
  restore_network_config: ({ vm_id }) => call(moves, 'announce', { id: vm_id }),
  // One that shut itself down during a live move stays off.
  restart_vm_on_source: async ({ vm_id, source_node: node, migration_type, is_off, is_paused }) => {
    if (migration_type !== 'offline' || is_off) return
    await call(moves, 'start', { id: vm_id, node, is_paused }, { timeoutMs: 90_000 })
  },
}

async function runStep(name: Step, migration: MigrationRecord): Promise<Rollback['steps'][number]> {
  try {
    await works[name](migration)
    return { name, state: 'done', error: null, ended_at: now() }
  } catch (error) {
    if (!(error instanceof AppError)) throw error
    return { name, state: 'failed', error: error.message, ended_at: now() }
  }
}

const summaryOf = (failed: Rollback['steps'], source: string) =>
  failed.length === 0
    ? `All six steps are done; the virtual machine is on '${source}'`
    : `${failed.length} of six steps failed: ${failed.map(({ name, error }) => `${name} (${error})`).join('; ')}`

/**
 * Rolls a migration back, in six recorded steps; one that fails does not keep the next from being done. Before them it is
 * found out that the target does not run the guest: without that nothing is touched. A guest that has arrived already stays
 * there, and the migration is completed instead.
 * @throws UnavailableError while that is not known
 */
export async function rollBack(id: string, isAutomatic: boolean): Promise<MigrationRecord> {
  const migration = await migrationRecords.require(id)
  const { source_node } = migration
  if ((await settle(migration)) === 'target') return finish(migration)
  const steps: Rollback['steps'] = []
  const write = (state: Rollback['state'], summary: string | null) =>
    migrationRecords.change(id, () => ({ set: { rollback: { state, is_automatic: isAutomatic, steps, summary } } }))
  await write('running', null)
  for (const name of rollbackSteps) {
    steps.push(await runStep(name, migration))
    await write('running', null)
  }
  const failed = steps.filter(({ state }) => state === 'failed')
  return write(failed.length === 0 ? 'completed' : 'incomplete', summaryOf(failed, source_node))
}

/** Notes that a migration waits for somebody to roll it back; only the guest itself is put right. */
export async function leaveForLater(id: string): Promise<MigrationRecord> {
  const migration = await migrationRecords.require(id)
  if ((await settle(migration)) === 'target') return finish(migration)
  await call(moves, 'end', { id: migration.vm_id, operation: id })
  const rollback: Rollback = { state: 'waiting', is_automatic: false, steps: [], summary: null }
  return migrationRecords.change(id, () => ({ set: { rollback } }))
}

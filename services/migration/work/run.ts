import { call } from '#shared/bus/call.ts'
import type { Params } from '#shared/contract/contract.ts'
import type { Migration, MigrationPlan, migrations } from '#shared/contracts/migration/migrations.ts'
import { moves } from '#shared/contracts/vm/moves.ts'
import { CancelledError, ConflictError } from '#shared/errors.ts'
import { event, now } from '#shared/events/event.ts'
import { findEntry } from '#shared/operation/entries.ts'
import { type Accepting, type Op, operation, type OperationHandler } from '#shared/operation/kinds.ts'
import { requireRight } from '#shared/access/require-right.ts'
import { log } from '#shared/runtime/log.ts'
import { requirePlan } from '#shared/service/plan.ts'
import { throwAll } from '#shared/service/violations.ts'
import { endMigration, type MigrationRecord, migrationRecords, readSettings } from '../model.ts'
import { forecastOf, sampleMemory } from '../forecast/forecast.ts'
import { copiedBytes, foretold, paceOf } from '../plan/foretold.ts'
import { planMigration, vmPath } from '../plan/plan.ts'
import { requireRoom } from '../plan/room.ts'
import { pauseOf, warningOf } from '../pause.ts'
import { viewOf } from '../view.ts'
import { checkHealth, readBaseline } from '../health/health.ts'
import { arriving, complete, finish } from './finish.ts'
import type { Input } from './input.ts'
import { givePlacesBack, waitForPlaces } from './places.ts'
import { leaveForLater, rollBack } from './rollback.ts'
import { moveOff, moveRunning, startOnTarget } from './strategies.ts'

type Given = Params<typeof migrations, 'start'>
/** Time that a guest has to shut down by itself. */
const haltSeconds = 60

async function accept(given: Given, accepting: Accepting): Promise<Input> {
  const { plan: _, shutdown_timeout = haltSeconds, ...more } = given
  const { reason = null, http_checks = [], ...wanted } = more
  // The requests come from Horcrux, which reaches networks that the caller may not reach.
  if (http_checks.length > 0) requireRight(accepting, 'SysModify', '/api/migrations', ', which http_checks take')
  await accepting.hold(vmPath(given.vm_id))
  const found = await planMigration(wanted)
  const { plan, vm } = found
  requirePlan(plan)
  throwAll(plan.violations)
  for (const { pool, is_copied } of plan.disks)
    if (is_copied) requireRight(accepting, 'DatastoreAllocate', `/api/storage/pools/${encodeURIComponent(pool)}`)
  const settings = await readSettings()
  return {
    vm_id: vm.id,
    vm_name: vm.name,
    source_node: vm.node,
    target_node: plan.target_node,
    migration_type: plan.migration_type,
    ...(await paceOf(wanted, found)),
    auto_rollback: settings.auto_rollback,
    shutdown_timeout,
    reason,
    http_checks,
    disks: plan.disks,
    disk_bytes: copiedBytes(vm, plan.disks),
  }
}

const nodesOf = ({ source_node, target_node }: Pick<Input, 'source_node' | 'target_node'>) => [source_node, target_node]

/** Records the migration, for as long as the installation lives. */
async function record(
  op: Op,
  { auto_rollback: _, shutdown_timeout: _s, http_checks: _h, disk_bytes: _c, ...input }: Input,
): Promise<null> {
  if (await migrationRecords.get(op.id)) return null
  const at = now()
  const none = {
    rollback: null,
    statistics: null,
    health: null,
    forecast: null,
    baseline: null,
    outcome: null,
    ended_at: null,
  }
  const { vm_id, source_node, target_node } = input
  const started = { migration_id: op.id, vm_id, source_node, target_node, timestamp: at }
  await migrationRecords.insert(
    { id: op.id, ...input, ...none, is_off: false, is_paused: false, user: op.user, created_at: at, updated_at: at },
    [event('MigrationStarted', started)],
  )
  return null
}

/** Undoes everything, and notes how it ended. */
async function undo(op: Op, { auto_rollback }: Input): Promise<void> {
  if (!(await migrationRecords.get(op.id))) return
  const { outcome: known } = await (auto_rollback ? rollBack(op.id, true) : leaveForLater(op.id))
  if (known !== null) return
  const failure = (await findEntry(op.id))?.failure
  const outcome = failure?.details['cancelled'] === true ? ('cancelled' as const) : ('failed' as const)
  await givePlacesBack(nodesOf(await migrationRecords.require(op.id)), op.id)
  await endMigration(op.id, outcome, ({ vm_id }) => [
    event('MigrationFailed', {
      migration_id: op.id,
      vm_id,
      outcome,
      error: outcome === 'failed' ? (failure?.message ?? null) : null,
      timestamp: now(),
    }),
  ])
}

/** Ends the time in which an operation can be cancelled. @returns true if it was, while its guest arrived on the target */
async function isCancelledTooLate(op: Op): Promise<boolean> {
  try {
    await op.commit()
    return false
  } catch (error) {
    if (error instanceof CancelledError) return true
    throw error
  }
}

/** Completes a migration whose operation takes no further steps. May be repeated. */
async function finishMoved(id: string, statistics: MigrationRecord['statistics']): Promise<MigrationRecord> {
  await migrationRecords.change(id, () => ({ set: { statistics } }))
  return finish(await migrationRecords.require(id))
}

async function run(op: Op, input: Input): Promise<Migration> {
  const { vm_id: id, source_node: node, target_node: target, migration_type } = input
  await op.step('recording', () => record(op, input), { undo: () => undo(op, input) })
  await op.step('waiting for a place', () => waitForPlaces(nodesOf(input), op.id, op.signal))
  const before = await op.step('preparing', async () => {
    const found = await call(moves, 'begin', { id, target, operation: op.id }, { timeoutMs: 30_000 })
    await migrationRecords.change(op.id, () => ({ set: found }))
    if (found.is_off) return found
    await requireRoom(id, target)
    const baseline = await readBaseline(id, input.http_checks)
    await migrationRecords.change(op.id, () => ({ set: { baseline } }))
    return found
  })
  if (migration_type !== 'offline')
    await op.step('forecasting', async () => {
      const forecast = await forecastOf(input, await sampleMemory(id, 30_000))
      await migrationRecords.change(op.id, () => ({ set: { forecast } }))
      return null
    })
  const statistics = await (migration_type === 'offline' ? moveOff : moveRunning)(op, input, before)
  // From here on the guest is on the target: the record follows, and nothing is undone.
  if (migration_type !== 'offline' && (await isCancelledTooLate(op)))
    return viewOf(await finishMoved(op.id, statistics))
  await op.commit()
  await op.step('measuring', () => migrationRecords.change(op.id, () => ({ set: { statistics } })).then(() => null))
  if (migration_type === 'offline' && !before.is_off) {
    const refusal = await op.step('starting guest', () => startOnTarget(input, before))
    if (refusal !== null) throw new ConflictError(`The guest does not start on '${target}': ${refusal}`)
  }
  const migration = await migrationRecords.require(op.id)
  const warning = warningOf(pauseOf(migration))
  if (warning !== null) op.log(warning)
  for (const [name, work] of arriving(migration)) await op.step(name, work)
  await op.step('checking health', () => checkHealth(op.id, input.http_checks, op.signal))
  await op.step('completing', () => complete(migration))
  log('migrations').info({ vm_id: id, from: node, to: target, type: migration_type }, 'a virtual machine has moved')
  return viewOf(await migrationRecords.require(op.id))
}

export const start: OperationHandler<Given, Migration> & { plan: (given: Given) => Promise<MigrationPlan> } = {
  ...operation({ accept, run }),
  plan: async ({ plan: _, ...wanted }) => foretold(wanted),
}

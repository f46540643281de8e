import { migrations } from '#shared/contracts/migration/migrations.ts'
import { drains } from '#shared/contracts/cluster/drains.ts'
import { operations } from '#shared/contracts/core/operations.ts'
import { until } from '../wait.ts'
import { done } from '../product/run-operation.ts'
import type { Calling, Scenario } from './scenario.ts'

const away = { vm_id: 'it', target_node: 'hv2', migration_type: 'live' as const }
/** The migration that is rolled back; its id is known when it has begun. */
const broken = { id: '' }

/**
 * Moves of a guest without disks, what a broken one has left, and the drain of its node.
 * @param withSecond registers hv2
 * @param runningBeside makes one that runs, and hv2
 */
export const migrationScenarios = ({
  withSecond,
  runningBeside,
}: {
  withSecond: (horcrux: Calling) => Promise<unknown>
  runningBeside: (horcrux: Calling) => Promise<void>
}): Record<string, Scenario> => ({
  'migrations.start': { before: runningBeside, params: away },
  'migrations.rollback': {
    before: async (horcrux) => {
      await runningBeside(horcrux)
      await horcrux.call(migrations, 'configure', { auto_rollback: false })
      const { id } = await horcrux.call(migrations, 'start', { ...away, bandwidth_limit: 1 }, { timeoutMs: 60_000 })
      broken.id = id
      const isOnTheWay = async () => (await horcrux.call(migrations, 'get', { id })).status === 'transferring'
      await until(isOnTheWay, { what: 'the transfer' })
      await horcrux.call(migrations, 'cancel', { id })
      await horcrux.call(operations, 'wait', { id, timeout: 60 }, { timeoutMs: 65_000 })
    },
    params: broken,
  },
  // Moves of guests have scenarios of their own; what remains is the maintenance.
  'drains.drain': { before: withSecond, params: { id: 'hv2', bandwidth_limit: 100 } },
  'drains.restore': {
    before: async (horcrux) => {
      await withSecond(horcrux)
      await done(horcrux, drains, 'drain', { id: 'hv2', bandwidth_limit: 100 })
    },
    params: { id: 'hv2', bandwidth_limit: 100 },
  },
})

/** Takes back the settings that a scenario has changed. */
export const clearMigrations = (horcrux: Calling): Promise<unknown> =>
  horcrux.call(migrations, 'configure', { auto_rollback: true })

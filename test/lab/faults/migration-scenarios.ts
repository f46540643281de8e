import { migrations } from '#shared/contracts/migration/migrations.ts'
import { drains } from '#shared/contracts/cluster/drains.ts'
import { operations } from '#shared/contracts/core/operations.ts'
import { pools } from '#shared/contracts/storage/pools.ts'
import { vms } from '#shared/contracts/vm/vms.ts'
import { NotFoundError } from '#shared/errors.ts'
import { until } from '../wait.ts'
import { done } from '../product/run-operation.ts'
import type { Calling, Scenario } from './scenario.ts'

const away = { vm_id: 'it', target_node: 'hv2', migration_type: 'live' as const }
/** The storage pool of hv2. */
const far = { id: 'far' }
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
  // The source is on hv2: the matrix looks at hv1 for everything that the clone has left.
  'vms.cloneCrossNode': {
    before: async (horcrux) => {
      await withSecond(horcrux)
      await horcrux.call(pools, 'create', { ...far, type: 'dir', node: 'hv2', path: '/var/lib/libvirt/images/pool' })
      const disks = [{ pool: far.id, size: 2 ** 30 }]
      await done(horcrux, vms, 'create', { id: 'it', name: 'it', memory: 128, cpus: 1, node: 'hv2', disks })
    },
    params: { vm: 'it', id: 'copy', name: 'copy', target_node: 'hv1', pool: 'images', start: true },
  },
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

/** Takes away the storage pool of hv2, when its VMs are gone. */
export const clearFarPool = (horcrux: Calling): Promise<unknown> =>
  horcrux.call(pools, 'delete', far).catch((error: Error) => {
    if (!(error instanceof NotFoundError)) throw error
  })

import { containerBackups } from '#shared/contracts/storage/container-backups.ts'
import { pools } from '#shared/contracts/storage/pools.ts'
import { ConflictError } from '#shared/errors.ts'
import { store } from '../faults/backup-scenarios.ts'
import type { Calling, Scenario } from '../faults/scenario.ts'
import { done } from '../product/run-operation.ts'

/** The container, its backup, and the image that a restore makes have this in their names. */
const id = 'fault-it'
const saving = { id, container_id: id, pool: store.id }
const building = { backup_id: id, container_id: 'fault-copy', name: 'fault-copy', bind_mounts: true, start: true }

/** The operations on backups of containers. @param run makes the container, which runs */
export function containerBackupScenarios(run: (horcrux: Calling) => Promise<unknown>): Record<string, Scenario> {
  const withStore = async (horcrux: Calling) => {
    await run(horcrux)
    await horcrux.call(pools, 'create', store).catch((error: unknown) => {
      if (!(error instanceof ConflictError)) throw error
    })
  }
  const backedUp = async (horcrux: Calling) => {
    await withStore(horcrux)
    await done(horcrux, containerBackups, 'create', saving)
  }
  return {
    'container-backups.create': { before: withStore, params: { ...saving, pause: true } },
    'container-backups.createFor': { before: withStore, params: { ...saving, job: 'nightly', bandwidth_mib: null } },
    'container-backups.restore': { before: backedUp, params: { id, container_id: 'fault-copy', name: 'fault-copy' } },
    'container-archives.build': { before: backedUp, params: building },
    'container-archives.replace': {
      before: backedUp,
      params: { id, backup_id: id, start: false, timeout: 1, watch: 0 },
    },
  }
}

import { call } from '#shared/bus/call.ts'
import { snapshots } from '#shared/contracts/vm/snapshots.ts'
import { AppError, NotFoundError, unpackError } from '#shared/errors.ts'
import { idFrom } from '#shared/ids.ts'
import { waitForEnd } from '#shared/operation/wait.ts'
import { log } from '#shared/runtime/log.ts'
import { every } from '#shared/runtime/repeat.ts'
import { backupRecords } from '../model.ts'

/** The name of the snapshot that a backup is read from. */
export const snapshotNameOf = (backup: string): string => `backup-${backup}`

/** Finds a snapshot by its name, because its id may be lost with a process. */
async function findSnapshot(vm: string, name: string): Promise<string | null> {
  const { data } = await call(snapshots, 'list', { id: vm, limit: 10, filter: `name:${name}` })
  return data[0]?.id ?? null
}

/** Deletes the snapshot of a backup, as {@link deleteNamed}. */
export const deleteSnapshot = (vm: string, backup: string, attempt: string): Promise<void> =>
  deleteNamed(vm, snapshotNameOf(backup), attempt)

/**
 * Deletes the snapshot of a name; one that is gone is fine.
 * @param attempt names the operation: a second one with the same name finds the first
 * @throws AppError when it cannot be deleted now
 */
export async function deleteNamed(vm: string, name: string, attempt: string): Promise<void> {
  try {
    const id = await findSnapshot(vm, name)
    if (id === null) return
    const operationId = idFrom(`${attempt}/snapshot`)
    await call(snapshots, 'delete', { id: vm, snapshot_id: id }, { operationId })
    const ended = await waitForEnd(operationId)
    if (ended.state !== 'succeeded' && ended.failure) throw unpackError(ended.failure)
  } catch (error) {
    if (!(error instanceof NotFoundError)) throw error
  }
}

const sweepEveryMs = 5 * 60_000

/** Deletes snapshots whose backup has ended but which could not be deleted then, such as of a guest that was paused. */
export async function sweepSnapshots(): Promise<void> {
  for (const { id, vm_id, snapshot } of await backupRecords.all({ state: 'ready', snapshot: { $ne: null } })) {
    if (snapshot === undefined || vm_id === null) continue
    try {
      await deleteSnapshot(vm_id, id, `${snapshot}/${Math.floor(Date.now() / sweepEveryMs)}`)
      await backupRecords.updateWhere({ _id: id }, { set: { snapshot: undefined } })
    } catch (error) {
      if (!(error instanceof AppError)) throw error
      log('backups').warn({ err: error, backup: id }, 'the snapshot of a backup could not be deleted')
    }
  }
}

export const sweepSnapshotsRegularly = (): (() => void) =>
  every(sweepEveryMs, sweepSnapshots, { part: 'backups', failed: 'left snapshots of backups were not deleted' })

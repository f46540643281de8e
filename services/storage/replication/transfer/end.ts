import { setTimeout as delay } from 'node:timers/promises'
import type { Params } from '#shared/contract/contract.ts'
import type { replicas } from '#shared/contracts/storage/replicas.ts'
import { AppError } from '#shared/errors.ts'
import type { Op } from '#shared/operation/kinds.ts'
import { log } from '#shared/runtime/log.ts'
import { every } from '#shared/runtime/repeat.ts'
import { keptBy } from '../../backups/jobs/retention.ts'
import { deleteNamed } from '../../backups/save/snapshot.ts'
import { type ReplicaRecord, replicaRecords } from '../model.ts'
import { type Place, removePoint } from './points.ts'
import { dropUnused } from './target.ts'

type Given = Params<typeof replicas, 'transferFor'>

const deletionTries = 5
const sweepEveryMs = 5 * 60_000
const newestOnly = { last: 1, hourly: 0, daily: 0, weekly: 0, monthly: 0, yearly: 0 }

/** The name of the snapshot that a run reads from. */
export const snapshotNameOf = (operation: string): string => `replication-${operation}`

/** Deletes the snapshot of a run that has ended, and forgets it. */
async function deleteLeft({ id, vm_id }: Pick<ReplicaRecord, 'id' | 'vm_id'>, name: string, attempt: string) {
  await deleteNamed(vm_id, name, attempt)
  await replicaRecords.change(id, ({ snapshots }) => ({
    set: { snapshots: snapshots.filter((each) => each !== name) },
  }))
}

/** Deletes the snapshot of a run. The replica is whole without that: one that stays is deleted by the sweep. */
export async function endSnapshot(op: Op, replica: string, vm: string, name: string): Promise<void> {
  for (let tried = 1; ; tried++) {
    try {
      return await deleteLeft({ id: replica, vm_id: vm }, name, `${op.id}/end/${tried}`)
    } catch (error) {
      if (!(error instanceof AppError) || op.signal.aborted) throw error
      if (tried === deletionTries) return op.log(`The snapshot of the run is deleted later: ${error.message}`)
    }
    await delay(1000)
  }
}

/** Deletes snapshots of runs that have ended but which could not be deleted then, such as of a VM that was held. */
export async function sweepSnapshots(): Promise<void> {
  const left = await replicaRecords.all({ snapshots: { $gt: '' } })
  for (const { replica, name } of left.flatMap((each) => each.snapshots.map((name) => ({ replica: each, name })))) {
    try {
      await deleteLeft(replica, name, `${name}/${Math.floor(Date.now() / sweepEveryMs)}`)
    } catch (error) {
      if (!(error instanceof AppError)) throw error
      log('replication').warn({ err: error, replica: replica.id }, 'the snapshot of a run could not be deleted')
    }
  }
}

export const sweepReplicationRegularly = (): (() => void) =>
  every(sweepEveryMs, sweepSnapshots, { part: 'replication', failed: 'left snapshots of runs were not deleted' })

/** The points that a retention does not keep, and the reasons of the others. Without one, the newest point is kept. */
export function surplusOf(
  { points, failover }: Pick<ReplicaRecord, 'points' | 'failover'>,
  retention: Given['retention'],
  timezone: string,
): { going: string[]; reasons: Map<string, string> } {
  const own = points.map(({ id, taken_at: at }) => ({ id, at, protected: failover?.point_id === id }))
  const reasons = keptBy(own, retention ?? newestOnly, timezone)
  return { going: points.flatMap(({ id }) => (reasons.has(id) ? [] : [id])), reasons }
}

/**
 * Deletes the points of a replica that its retention does not keep. One that cannot be deleted now, such as while a virtual
 * machine reads from it, stays until the next run.
 */
export async function applyRetention(op: Op, { id, retention, timezone }: Given, place: Place): Promise<void> {
  const going = await op.step('applying retention', async () => {
    const record = await replicaRecords.require(id)
    const { going: surplus, reasons } = surplusOf(record, retention, timezone)
    const points = record.points.map((point) => ({ ...point, kept_by: reasons.get(point.id) ?? null }))
    await replicaRecords.updateWhere({ _id: id }, { set: { points } })
    return surplus
  })
  for (const point of going)
    await op.step(`deleting point ${point}`, async () => {
      try {
        await removePoint(place, point, `${op.id}/retention`)
        await replicaRecords.change(id, ({ points }) => ({
          set: { points: points.filter((each) => each.id !== point) },
        }))
      } catch (error) {
        if (!(error instanceof AppError) || op.signal.aborted) throw error
        op.log(`Point '${point}' is kept for now: ${error.message}`)
      }
    })
  await op.step('dropping unused volumes', async () => {
    const { points } = await replicaRecords.require(id)
    await dropUnused(place, new Set(points.flatMap(({ disks }) => disks.map(({ volume }) => volume))))
  })
}

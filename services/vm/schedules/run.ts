import type { Params } from '#shared/contract/contract.ts'
import type { snapshotSchedules } from '#shared/contracts/vm/snapshot-schedules.ts'
import type { Snapshot, snapshots } from '#shared/contracts/vm/snapshots.ts'
import { AppError } from '#shared/errors.ts'
import { type Accepting, type Op, operation } from '#shared/operation/kinds.ts'
import { plan, run as takeSnapshot } from '../snapshots/create.ts'
import { snapshotRecords } from '../snapshots/model.ts'
import { planRemove, runRemove } from '../snapshots/remove.ts'
import type { Taking } from '../snapshots/taking.ts'
import { isOverQuota } from '../quotas/reserve.ts'
import { type ScheduleRecord, scheduleRecords } from './model.ts'
import { snapshotNameOf, surplusOf } from './names.ts'

type Wanted = { schedule: string; taking: Taking }

/** The snapshots of a schedule that are more than it keeps. Protected ones neither count nor go. */
async function ownSurplus(schedule: string, vm: string, kept: number) {
  const own = await snapshotRecords.all({ vm_id: vm, schedule_id: schedule, state: 'ready' })
  return surplusOf(
    own.filter((snapshot) => !snapshot.protected),
    kept,
  )
}

/**
 * Plans the snapshot of a run. The run may take the room of those snapshots of its schedule that it deletes right
 * afterwards: a schedule that keeps as many as its quota allows would never run again otherwise.
 */
async function planRun(given: Params<typeof snapshots, 'create'>, schedule: ScheduleRecord, accepting: Accepting) {
  try {
    return await plan(given, schedule.id, accepting)
  } catch (error) {
    if (!isOverQuota(error)) throw error
    const surplus = await ownSurplus(schedule.id, schedule.vm_id, schedule.retention_count - 1)
    const going: string[] = []
    for (const { id } of surplus) if (await canGo(schedule.vm_id, id)) going.push(id)
    if (going.length === 0) throw error
    return plan(given, schedule.id, accepting, going)
  }
}

async function canGo(vm: string, snapshot: string): Promise<boolean> {
  try {
    await planRemove({ id: vm, snapshot_id: snapshot })
    return true
  } catch (error) {
    if (error instanceof AppError) return false
    throw error
  }
}

/** Deletes the snapshots that the schedule has made beyond those it keeps. One that cannot be deleted now stays. */
async function keepOnly(op: Op, schedule: string, vm: string): Promise<void> {
  const surplus = await op.step('finding surplus', async () => {
    const found = await scheduleRecords.get(schedule)
    if (!found) return []
    return (await ownSurplus(schedule, vm, found.retention_count)).map(({ id, name }) => ({ id, name }))
  })
  for (const { id: snapshot_id, name } of surplus) {
    const removing = await op.step(`planning removal of ${name}`, () =>
      planRemove({ id: vm, snapshot_id }).catch((error: unknown) => {
        if (!(error instanceof AppError)) throw error
        op.log(`Snapshot '${name}' is kept for now: ${error.message}`)
        return null
      }),
    )
    if (removing) await runRemove(op, removing, `${name}: `)
  }
}

export const run = operation({
  accept: async ({ schedule: id, due }: Params<typeof snapshotSchedules, 'run'>, accepting): Promise<Wanted> => {
    const schedule = await scheduleRecords.require(id)
    const { vm_id, name, include_memory } = schedule
    const given = {
      id: vm_id,
      name: snapshotNameOf(name, new Date(due)),
      description: '',
      include_memory,
    }
    return { schedule: id, taking: await planRun(given, schedule, accepting) }
  },
  run: async (op, { schedule, taking }: Wanted): Promise<Snapshot> => {
    const record = (last_error: string | null, last_snapshot_id: string | null) =>
      scheduleRecords.updateWhere({ _id: schedule }, { set: { last_error, last_snapshot_id } })
    await op.step('noting', async () => undefined, {
      undo: async () =>
        scheduleRecords.updateWhere({ _id: schedule }, { set: { last_error: `Operation ${op.id} failed` } }),
    })
    const snapshot = await takeSnapshot(op, taking)
    await op.step('recording run', async () => void (await record(null, snapshot.id)))
    await keepOnly(op, schedule, taking.vm)
    return snapshot
  },
})

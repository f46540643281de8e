import { requireRight } from '#shared/access/require-right.ts'
import { call } from '#shared/bus/call.ts'
import { permissions } from '#shared/contracts/access/permissions.ts'
import type { Frequency } from '#shared/contracts/frequency.ts'
import { snapshotSchedules } from '#shared/contracts/vm/snapshot-schedules.ts'
import { now } from '#shared/events/event.ts'
import { newId } from '#shared/ids.ts'
import { previewOf, requireNextRun } from '#shared/schedules/next-run.ts'
import { implement } from '#shared/service/implement.ts'
import { apiPathOf, vmRecords } from '../model.ts'
import { scheduleRecords, viewOf } from './model.ts'
import { run } from './run.ts'

const previewed = 20

export const scheduleService = implement(snapshotSchedules, {
  list: async (query, { maySee }) => {
    const page = await scheduleRecords.list(query, maySee)
    return { ...page, data: page.data.map(viewOf) }
  },
  get: async ({ id }) => viewOf(await scheduleRecords.require(id)),

  create: async ({ id = newId(), frequency, ...given }, asked) => {
    requireRight(asked, 'VmSnapshot', apiPathOf(given.vm_id))
    await vmRecords.require(given.vm_id)
    // TypeBox infers a type of its own for the contract's union; it is the record's.
    const often = frequency as Frequency
    const next = requireNextRun(often, given.timezone)
    const at = now()
    const record = await scheduleRecords.insert({
      id,
      ...given,
      frequency: often,
      last_run: null,
      last_error: null,
      last_snapshot_id: null,
      next_run: given.enabled ? next : null,
      created_at: at,
      updated_at: at,
    })
    // The deletion of the VM may have looked for its schedules before this one was there.
    await vmRecords.require(given.vm_id).catch(async (error: unknown) => {
      await scheduleRecords.removeWhere({ _id: id, created_at: at })
      throw error
    })
    return viewOf(record)
  },

  update: async ({ id, ...given }, asked) => {
    requireRight(asked, 'VmSnapshot', apiPathOf((await scheduleRecords.require(id)).vm_id))
    const changed = await scheduleRecords.change(id, (before) => {
      const after = { ...before, ...given, frequency: (given.frequency ?? before.frequency) as Frequency }
      const next = requireNextRun(after.frequency, after.timezone)
      const isSame = given.frequency === undefined && given.timezone === undefined && before.next_run !== null
      const next_run = after.enabled ? (isSame ? before.next_run : next) : null
      return { set: { ...given, frequency: after.frequency, next_run } }
    })
    return viewOf(changed)
  },

  delete: async ({ id }) => {
    const record = await scheduleRecords.requireForChange(id)
    await call(permissions, 'forget', { path: `/api/snapshot-schedules/${id}` })
    await scheduleRecords.remove(record)
    return null
  },

  preview: async ({ id }) => {
    const { frequency, timezone } = await scheduleRecords.require(id)
    return { data: previewOf(frequency, timezone, new Date(), previewed) }
  },

  run,
})

import { call } from '#shared/bus/call.ts'
import { permissions } from '#shared/contracts/access/permissions.ts'
import type { Frequency } from '#shared/contracts/frequency.ts'
import type { VmSelection } from '#shared/contracts/storage/backup-jobs.ts'
import { replicationJobs } from '#shared/contracts/storage/replication-jobs.ts'
import { now } from '#shared/events/event.ts'
import { newId } from '#shared/ids.ts'
import type { Call } from '#shared/runtime/handler.ts'
import { implement } from '#shared/service/implement.ts'
import { requireKeeping, requireSelected } from '../../backups/jobs/service.ts'
import { nextOf, previewOfJob, timesAfter } from '../../jobs/times.ts'
import { requireTarget } from '../transfer/target.ts'
import { jobPathOf, jobRecords, viewOf } from './model.ts'
import { execute, executeDue } from './run.ts'
import { summaryOf } from './overdue.ts'
import { statusOf } from './status.ts'

/** Requires the rights on what a job replicates and on its storage pool, and that both are there. */
async function requireTargets(selection: VmSelection, { node, pool }: { node: string; pool: string }, asked: Call) {
  await requireSelected(selection, pool, asked)
  await requireTarget(pool, node)
}

export const replicationJobService = implement(replicationJobs, {
  list: async (query, { maySee }) => {
    const page = await jobRecords.list(query, maySee)
    return { ...page, data: page.data.map(viewOf) }
  },
  get: async ({ id }) => viewOf(await jobRecords.require(id)),

  create: async ({ id = newId(), ...given }, asked) => {
    // TypeBox infers types of its own for the contract's unions; they are those of the record.
    const selection = given.selection as VmSelection
    const frequency = given.frequency as Frequency | null
    await requireTargets(selection, given, asked)
    requireKeeping(given.retention)
    const at = now()
    const next_run = nextOf({ ...given, frequency })
    const made = { id, ...given, selection, frequency, last_run: null, next_run, created_at: at, updated_at: at }
    return viewOf(await jobRecords.insert(made))
  },

  update: async ({ id, ...given }, asked) => {
    const known = await jobRecords.require(id)
    const selection = (given.selection ?? known.selection) as VmSelection
    await requireTargets(selection, known, asked)
    requireKeeping(given.retention)
    const changed = await jobRecords.change(id, (before) => ({
      set: { ...given, selection, ...timesAfter(before, given) },
    }))
    return viewOf(changed)
  },

  delete: async ({ id }) => {
    const record = await jobRecords.requireForChange(id)
    await call(permissions, 'forget', { path: jobPathOf(id) })
    await jobRecords.remove(record)
    return null
  },

  summary: (_, { maySee }) => summaryOf(maySee),
  preview: async ({ id }) => previewOfJob(await jobRecords.require(id)),

  status: ({ id }) => statusOf(id),
  execute,
  executeDue,
})

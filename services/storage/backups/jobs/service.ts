import { requireRight } from '#shared/access/require-right.ts'
import { call } from '#shared/bus/call.ts'
import { permissions } from '#shared/contracts/access/permissions.ts'
import { resourcePools } from '#shared/contracts/access/resource-pools.ts'
import { containerArchives } from '#shared/contracts/container/container-archives.ts'
import type { Frequency } from '#shared/contracts/frequency.ts'
import { backupJobs, type Selection } from '#shared/contracts/storage/backup-jobs.ts'
import type { JobProof } from '#shared/contracts/storage/backup-proofs.ts'
import type { Retention } from '#shared/contracts/storage/retention.ts'
import { vms } from '#shared/contracts/vm/vms.ts'
import { ConflictError, invalid } from '#shared/errors.ts'
import { now } from '#shared/events/event.ts'
import { newId } from '#shared/ids.ts'
import type { Call } from '#shared/runtime/handler.ts'
import { implement } from '#shared/service/implement.ts'
import { nextOf, previewOfJob, timesAfter } from '../../jobs/times.ts'
import { openStore } from '../store/open-store.ts'
import { jobPathOf, jobRecords, viewOf } from './model.ts'
import { retain } from './retain.ts'
import { keepsAny } from './retention.ts'
import { summaryOf } from './overdue.ts'
import { run, runDue } from './run.ts'

/** The path on which VmBackup is needed; a tag or label may be given to any of them, so it takes the right on all. */
function pathOf(selection: Selection): string {
  switch (selection.kind) {
    case 'vm':
      return `/api/vms/${selection.vm_id}`
    case 'container':
      return `/api/containers/${selection.container_id}`
    case 'tag':
      return '/api/vms/*'
    case 'label':
      return '/api/containers/*'
    case 'resource_pool':
      return `/api/resource-pools/${encodeURIComponent(selection.resource_pool)}`
  }
}

/** Requires the rights on what a job selects and on its storage pool, and that what it selects is there. */
export async function requireSelected(selection: Selection, pool: string, asked: Call): Promise<void> {
  requireRight(asked, 'VmBackup', pathOf(selection))
  requireRight(asked, 'DatastoreAllocate', `/api/storage/pools/${encodeURIComponent(pool)}`)
  if (selection.kind === 'vm') await call(vms, 'get', { id: selection.vm_id }, { isQuestion: true })
  if (selection.kind === 'container')
    await call(containerArchives, 'describe', { id: selection.container_id }, { isQuestion: true })
  if (selection.kind === 'resource_pool')
    await call(resourcePools, 'get', { id: selection.resource_pool }, { isQuestion: true })
}

/** As {@link requireSelected}, and that the storage pool holds objects. */
async function requireTargets(selection: Selection, pool: string, asked: Call): Promise<void> {
  await requireSelected(selection, pool, asked)
  await openStore(pool)
}

/** Requires the rights on the guests that a job boots. Their disks are where those of each backup were, unless the job names a place. */
function requireProofRights(proof: JobProof | null | undefined, asked: Call): void {
  if (!proof?.boot) return
  requireRight(asked, 'VmAllocate', '/api/vms/*')
  requireRight(
    asked,
    'DatastoreAllocate',
    `/api/storage/pools/${proof.boot.pool === undefined ? '*' : encodeURIComponent(proof.boot.pool)}`,
  )
}

/** @throws ValidationError for a retention that keeps nothing */
export function requireKeeping(retention: Retention | null | undefined): void {
  if (retention && !keepsAny(retention))
    throw invalid('retention', 'keeps nothing: one of its counts has to be above 0, or it is null')
}

export const backupJobService = implement(backupJobs, {
  list: async (query, { maySee }) => {
    const page = await jobRecords.list(query, maySee)
    return { ...page, data: page.data.map(viewOf) }
  },
  get: async ({ id }) => viewOf(await jobRecords.require(id)),

  summary: (_, { maySee }) => summaryOf(maySee),

  create: async ({ id = newId(), ...given }, asked) => {
    // TypeBox infers types of its own for the contract's unions; they are those of the record.
    const selection = given.selection as Selection
    const frequency = given.frequency as Frequency | null
    const proof = given.proof as JobProof | null
    await requireTargets(selection, given.pool, asked)
    requireProofRights(proof, asked)
    requireKeeping(given.retention)
    const at = now()
    const record = await jobRecords.insert({
      id,
      ...given,
      selection,
      frequency,
      proof,
      last_run: null,
      next_run: nextOf({ ...given, frequency }),
      created_at: at,
      updated_at: at,
    })
    return viewOf(record)
  },

  update: async ({ id, ...given }, asked) => {
    const known = await jobRecords.require(id)
    const selection = (given.selection ?? known.selection) as Selection
    const proof = (given.proof === undefined ? known.proof : given.proof) as JobProof | null | undefined
    await requireTargets(selection, given.pool ?? known.pool, asked)
    requireProofRights(proof, asked)
    requireKeeping(given.retention)
    const changed = await jobRecords.change(id, (before) => ({
      set: { ...given, selection, proof: proof ?? null, ...timesAfter(before, given) },
    }))
    return viewOf(changed)
  },

  delete: async ({ id }) => {
    const record = await jobRecords.requireForChange(id)
    await call(permissions, 'forget', { path: jobPathOf(id) })
    await jobRecords.remove(record)
    return null
  },

  preview: async ({ id }) => previewOfJob(await jobRecords.require(id)),

  stop: async ({ id }) => {
    const changed = await jobRecords.change(id, ({ last_run }) => {
      if (last_run?.state !== 'running') throw new ConflictError(`No run of backup job '${id}' goes on`)
      return { set: { stopping: last_run.operation_id } }
    })
    return viewOf(changed)
  },

  run,
  runDue,
  retain,
})

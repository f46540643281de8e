import { isBegunBy } from '#shared/access/access.ts'
import { call } from '#shared/bus/call.ts'
import { type CloneJob, cloneJobs, CloneStage } from '#shared/contracts/vm/clone-jobs.ts'
import { operations } from '#shared/contracts/core/operations.ts'
import { requireVersion } from '#shared/db/if-match.ts'
import { ConflictError, notFound } from '#shared/errors.ts'
import type { Call } from '#shared/runtime/handler.ts'
import { entriesOfKinds, type Entry, findEntry, listEntries, removeEnded } from '#shared/operation/entries.ts'
import { requireRight } from '#shared/access/require-right.ts'
import { implement } from '#shared/service/implement.ts'
import type { CloneInput } from './input.ts'
import { cloneKinds } from './clone.ts'
import { consistencySteps, type Copied } from './live-clone.ts'
import { apiPathOf } from '../model.ts'

type Seen = Pick<Entry, 'kind' | 'user' | 'api_key' | 'input'>

// The input of these kinds is what `acceptClone` returned.
const inputOf = ({ input }: Pick<Entry, 'input'>) => input as CloneInput

const seconds = (fromMs: number, toMs: number) => Math.max(0, Math.round((toMs - fromMs) / 100) / 10)

/** The result of the last step that has one counts: a copy may have begun again. */
function consistencyOf({ results }: Pick<Entry, 'results'>): CloneJob['consistency'] {
  const [found] = consistencySteps.flatMap((step) => results.filter(([name]) => name === step))
  // These steps return it.
  return (found?.[1] as Copied | undefined)?.consistency ?? null
}

function jobOf(entry: Entry): CloneJob {
  const { id, state, stage, progress, eta, error, user, created_at, started_at, ended_at, version } = entry
  const { source, mode, vm } = inputOf(entry)
  const isCopying = mode === 'full' && progress.unit === 'bytes'
  const endMs = ended_at === null ? Date.now() : Date.parse(ended_at)
  const first = stage?.split(' ')[0]
  return {
    id,
    source_vm_id: source,
    target_vm_id: vm.id,
    target_name: vm.name,
    mode,
    status: state,
    stage: (CloneStage.enum as readonly string[]).includes(first ?? '') ? (first as CloneJob['stage']) : null,
    progress_percent: progress.percent ?? 0,
    bytes_copied: isCopying ? Math.round(progress.done) : 0,
    total_bytes: isCopying ? Math.round(progress.total ?? 0) : 0,
    elapsed_seconds: started_at === null ? 0 : seconds(Date.parse(started_at), endMs),
    remaining_seconds: ended_at !== null ? 0 : eta === null ? null : seconds(Date.now(), Date.parse(eta)),
    consistency: consistencyOf(entry),
    error: error?.message ?? null,
    user,
    created_at,
    started_at,
    ended_at,
    version,
  }
}

const isMine = (entry: Seen, { caller }: Call) => caller.kind === 'service' || isBegunBy(caller, entry)

function maySee(entry: Seen, call: Call): boolean {
  const { source, vm } = inputOf(entry)
  return isMine(entry, call) || [source, vm.id].some((id) => call.rights.allows('VmAudit', apiPathOf(id)))
}

async function find(id: string, call: Call): Promise<Entry> {
  const entry = await findEntry(id)
  if (!entry || !cloneKinds.includes(entry.kind) || !maySee(entry, call)) throw notFound('Clone job', id)
  return entry
}

function requireOwn(entry: Entry, call: Call): void {
  if (!isMine(entry, call)) requireRight(call, 'VmAllocate', apiPathOf(inputOf(entry).vm.id))
}

/** Ids of the jobs that a caller may see; undefined for all. */
async function visible(call: Call): Promise<string[] | undefined> {
  if (call.caller.kind === 'service' || call.rights.allows('VmAudit', '/')) return undefined
  const fields = ['kind', 'user', 'api_key', 'input.source', 'input.vm.id']
  const all = await entriesOfKinds<keyof Seen>(cloneKinds, fields)
  return all.flatMap((entry) => (maySee(entry, call) ? [entry.id] : []))
}

/** The stored field of each field of a job that has another name in the journal, for filters. */
const fieldMap = {
  status: 'state',
  mode: 'input.mode',
  source_vm_id: 'input.source',
  target_vm_id: 'input.vm.id',
}

export const cloneJobService = implement(cloneJobs, {
  list: async (query, call) => {
    const ids = await visible(call)
    const base = { kind: { $in: cloneKinds }, ...(ids && { _id: { $in: ids } }) }
    const found = await listEntries(query, base, fieldMap)
    return { ...found, data: found.data.map(jobOf) }
  },

  get: async ({ id }, call) => jobOf(await find(id, call)),

  cancel: async ({ id }, asked) => {
    const entry = await find(id, asked)
    requireOwn(entry, asked)
    requireVersion(`Clone job '${id}'`, entry.version)
    await call(operations, 'cancel', { id })
    return jobOf(await find(id, asked))
  },

  delete: async ({ id }, asked) => {
    const entry = await find(id, asked)
    requireOwn(entry, asked)
    requireVersion(`Clone job '${id}'`, entry.version)
    if (!(await removeEnded(id)))
      throw new ConflictError(
        `Clone job '${id}' is ${entry.state}: cancel it first, with POST /api/clone-jobs/${id}/cancel`,
        {
          details: { state: entry.state },
        },
      )
    return null
  },
})

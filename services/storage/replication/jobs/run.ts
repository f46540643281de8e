import type { Params, Result } from '#shared/contract/contract.ts'
import type { JobRun } from '#shared/contracts/storage/backup-jobs.ts'
import type { ReplicationOutcome, replicationJobs } from '#shared/contracts/storage/replication-jobs.ts'
import { replicas } from '#shared/contracts/storage/replicas.ts'
import { AppError, ConflictError, UnavailableError } from '#shared/errors.ts'
import { event, now } from '#shared/events/event.ts'
import { idFrom } from '#shared/ids.ts'
import { findEntry } from '#shared/operation/entries.ts'
import { type Accepting, type Op, operation } from '#shared/operation/kinds.ts'
import { selectVms, type Target } from '../../backups/jobs/select.ts'
import { replicaRecords } from '../model.ts'
import { jobPathOf, type JobRecord, jobRecords } from './model.ts'

type Ran = Result<typeof replicationJobs, 'execute'>
type Running = Pick<JobRecord, 'selection' | 'node' | 'pool' | 'bandwidth_mib' | 'retention' | 'timezone'> & {
  job: string
  due: string | null
  missed: number
}
type Selected = { targets: (Target & { replica: string })[]; error: string | null }

/** Checks a run. One of the same job that goes on holds it. */
async function accept(
  { id, due, missed }: { id: string; due: string | null; missed: number },
  { hold }: Pick<Accepting, 'hold'>,
): Promise<Running> {
  await hold(jobPathOf(id))
  const { selection, node, pool, bandwidth_mib, retention, timezone } = await jobRecords.require(id)
  return { job: id, due, missed, selection, node, pool, bandwidth_mib, retention, timezone }
}

/** The id of the replica that a job has of a virtual machine. */
export const replicaIdOf = (job: string, vm: string) => idFrom(`replica ${job} ${vm}`)

const counts = (outcomes: readonly ReplicationOutcome[]) => {
  const count = (state: ReplicationOutcome['state']) => outcomes.filter((each) => each.state === state).length
  return { succeeded: count('succeeded'), failed: count('failed'), skipped: count('skipped') }
}

/** The failure of a run as a whole; null when every virtual machine was replicated, or was skipped for itself. */
export function failureOf(outcomes: readonly ReplicationOutcome[]): string | null {
  const failed = outcomes.filter(({ state }) => state === 'failed')
  if (failed.length === 0) return null
  const others = failed.length > 1 ? `, and of ${failed.length - 1} others` : ''
  return `The replication of ${failed[0]!.vm_id} failed${others}: ${failed[0]!.reason}`
}

async function begin(op: Op, { job, due, missed }: Running): Promise<void> {
  const started = { operation_id: op.id, due, missed, started_at: now(), ended_at: null }
  const last_run: JobRun = { ...started, state: 'running', ...counts([]), error: null }
  await jobRecords.updateWhere({ _id: job }, { set: { last_run } })
}

/** Records the end of a run in its job, unless another run has begun since, or the job is gone. */
async function finish(op: Op, job: string, outcomes: readonly ReplicationOutcome[], error: string | null) {
  const record = await jobRecords.get(job)
  if (record?.last_run?.operation_id !== op.id || record.last_run.state !== 'running') return
  const told = { ...counts(outcomes), error }
  const timestamp = now()
  const state = error === null ? ('succeeded' as const) : ('failed' as const)
  await jobRecords.updateWhere(
    { _id: job, 'last_run.operation_id': op.id },
    {
      set: { last_run: { ...record.last_run, ...told, state, ended_at: timestamp } },
      events: [event('ReplicationJobEnded', { job_id: job, operation_id: op.id, ...told, timestamp })],
    },
  )
}

/** The virtual machines of a run. One that has failed over is skipped: its replica is what runs. */
async function selectTargets({ job, selection }: Running): Promise<Selected> {
  try {
    const targets: Selected['targets'] = []
    for (const target of await selectVms(selection)) {
      const replica = replicaIdOf(job, target.id)
      const failover = (await replicaRecords.get(replica))?.failover
      const skip = failover ? `virtual machine '${failover.vm_id}' has taken over from it` : target.skip
      targets.push({ ...target, replica, skip })
    }
    return { targets, error: null }
  } catch (error) {
    if (!(error instanceof AppError) || error instanceof UnavailableError) throw error
    return { targets: [], error: error.message }
  }
}

async function run(op: Op, running: Running): Promise<Ran> {
  const { job, node, pool, bandwidth_mib, retention, timezone } = running
  await op.step('beginning', () => begin(op, running), {
    undo: async () => {
      const failure = (await findEntry(op.id))?.failure
      await finish(op, job, [], failure?.message ?? `Operation ${op.id} was cancelled`)
    },
  })
  const { targets, error: missing } = await op.step('selecting', () => selectTargets(running))
  const going = targets.filter(({ skip }) => skip === null)
  const ended = await op.children(
    replicas,
    'transferFor',
    going.map(({ id: vm_id, replica: id }) => ({ id, job, vm_id, node, pool, bandwidth_mib, retention, timezone })),
  )
  const outcomes = targets.map((target): ReplicationOutcome => {
    const { id: vm_id, name: vm_name, replica, skip } = target
    const of = { vm_id, vm_name }
    if (skip !== null) return { ...of, state: 'skipped', replica_id: null, reason: skip }
    const failure = ended[going.indexOf(target)]?.failure
    if (failure) return { ...of, state: 'failed', replica_id: replica, reason: failure.message }
    return { ...of, state: 'succeeded', replica_id: replica, reason: null }
  })
  const error = missing ?? failureOf(outcomes)
  await op.step('recording run', () => finish(op, job, outcomes, error))
  // Points that were made stay, also of a run in which another one failed.
  await op.commit()
  if (error !== null) throw new ConflictError(error, { details: { outcomes } })
  return { outcomes }
}

export const execute = operation({
  accept: ({ id }: Params<typeof replicationJobs, 'execute'>, accepting) =>
    accept({ id, due: null, missed: 0 }, accepting),
  run,
})

export const executeDue = operation({
  accept: (given: Params<typeof replicationJobs, 'executeDue'>, accepting) => accept(given, accepting),
  run,
})

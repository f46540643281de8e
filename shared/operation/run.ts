import { setTimeout as delay } from 'node:timers/promises'
import type { ServiceBroker } from 'moleculer'
import { asService } from '#shared/access/access.ts'
import { hashesOf, recordAudit } from '#shared/audit/audit.ts'
import type { AuditKind } from '#shared/contract/audit-kinds.ts'
import {
  AppError,
  CancelledError,
  ChangedStepsError,
  HandoverError,
  LostLeaseError,
  packError,
  UnavailableError,
  unpackError,
} from '#shared/errors.ts'
import { now } from '#shared/events/event.ts'
import { idOfSeed } from '#shared/ids.ts'
import { type Entry, findEntry } from '#shared/operation/entries.ts'
import { openJournal, untilStored } from '#shared/operation/journal.ts'
import { kindOf } from '#shared/operation/kinds.ts'
import { keepLease, requireLease, take } from '#shared/operation/lease.ts'
import { release } from '#shared/operation/locks.ts'
import type { StepObserver } from '#shared/operation/observe.ts'
import { patienceMs } from '#shared/operation/patience.ts'
import { createReplay, type Replay, type Run } from '#shared/operation/replay.ts'
import { nudge } from '#shared/operation/wait.ts'
import { gauge, histogram } from '#shared/runtime/measures.ts'
import { log, logFields } from '#shared/runtime/log.ts'
import { type ChangedRecords, within } from '#shared/runtime/request-context.ts'

const here = new Map<string, Run>()

/** Checks that this process is working on an operation. */
export const isRunningHere = (id: string) => here.has(id)

/**
 * Looks in the journal whether an operation of this process was cancelled, after a message said so: any service can send
 * that message. Without the bus the next write of the journal tells.
 */
export async function cancelHere(id: string): Promise<void> {
  if (!here.get(id)?.journal.entry.cancellable) return
  const entry = await findEntry(id)
  if (entry?.cancel_requested) here.get(id)?.abort.abort(new CancelledError())
}

/** Gives back the leases of all operations of this process, so that others can carry on at once. */
export async function handOver(): Promise<void> {
  for (const { abort } of here.values()) abort.abort(new HandoverError('The process is stopping'))
  const deadline = Date.now() + 5000
  while (here.size > 0 && Date.now() < deadline) await delay(20)
}

type Options = {
  observe?: StepObserver | undefined
  /** The operation as it is in the journal, when this process has its lease already. */
  taken?: Entry
}

/**
 * Works on an operation until it has ended, if its lease is free.
 * @returns false when it was handed over before its end, and another process should look at it
 */
export async function runOperation(id: string, broker: ServiceBroker, { observe, taken }: Options = {}) {
  const entry = taken ?? (await take(id))
  if (!entry) return true
  const { kind, epoch, request_id: requestId } = entry
  const changed: ChangedRecords = new Map(entry.touched)
  const abort = new AbortController()
  const run: Run = {
    abort,
    observe: (step, when) => observe?.({ operation: id, kind, step, when }),
    journal: openJournal(entry, {
      changed,
      onWritten: async (endedSteps) => {
        const { cancel_requested, cancellable } = run.journal.entry
        for (const step of endedSteps) await run.observe(step, 'recorded')
        if (cancel_requested && cancellable) abort.abort(new CancelledError())
      },
    }),
  }
  here.set(id, run)
  const stopRenewing = keepLease(run.journal, (error) => abort.abort(error))
  const context = {
    broker,
    service: entry.service,
    caller: callerOf(entry),
    requestId,
    fence: { operation: id, epoch },
    changed,
    requireCurrent: () => requireLease(run.journal.entry),
  }
  try {
    return await within(context, () =>
      logFields.run({ request_id: requestId, operation_id: id }, () => work(run, changed)),
    )
  } finally {
    stopRenewing()
    here.delete(id)
  }
}

/** @returns false when it was handed over before its end */
async function work(run: Run, changed: ChangedRecords): Promise<boolean> {
  const { journal } = run
  const { kind: name, input } = journal.entry
  const kind = kindOf(name)
  let replay = createReplay(run)
  try {
    if (journal.entry.cancel_requested) await journal.flush({ state: 'cancelling' })
    if (!kind) throw new ChangedStepsError(`This version of Horcrux has no operation '${name}'`)
    const result = await replayPatiently(run, () => {
      replay = createReplay(run)
      return kind.handler.run(replay.op, input as never)
    })
    const progress = completed(journal.entry.progress)
    await end(run, changed, { state: 'succeeded', result: result ?? null, progress })
    return true
  } catch (error) {
    return await stopped(run, replay, changed, error as Error)
  }
}

const completed = (progress: Entry['progress']): Entry['progress'] => ({
  ...progress,
  ...(progress.unit === 'steps' && { total: progress.total ?? progress.done }),
  percent: 100,
})

/**
 * Replays the work while something between two steps, such as the store, does not answer: finished steps are not undone for
 * it. Steps have a patience of their own.
 */
async function replayPatiently({ journal, abort }: Run, begin: () => Promise<unknown>): Promise<unknown> {
  const isInStep = () => journal.entry.steps.some(({ state }) => state === 'running')
  for (let [since, place] = [0, -1]; ;) {
    try {
      return await begin()
    } catch (error) {
      const isWaitedFor = error instanceof UnavailableError && !isInStep() && !abort.signal.aborted
      const reached = journal.entry.results.length
      if (reached !== place) [since, place] = [Date.now(), reached]
      if (!isWaitedFor || journal.entry.failure || Date.now() > since + patienceMs) throw error
      journal.log(`Waits: ${error.message}`)
      await delay(500)
    }
  }
}

/** Undoes and ends an operation whose work has thrown, unless another process works on it, or will. */
async function stopped(run: Run, replay: Replay, changed: ChangedRecords, error: Error): Promise<boolean> {
  const { signal } = run.abort
  const why = signal.aborted ? (signal.reason as Error) : error
  if (error instanceof LostLeaseError || why instanceof LostLeaseError) return true
  if (error instanceof HandoverError || why instanceof HandoverError) {
    await run.journal.handOver().catch(() => undefined)
    return false
  }
  if (!(error instanceof AppError)) log('operations').error({ err: error }, 'a bug: an operation failed unexpectedly')
  try {
    if (error instanceof ChangedStepsError) await end(run, changed, { state: 'needs_attention', ...failed(error) })
    else await failWith(run, replay, changed, why instanceof CancelledError ? why : error)
  } catch (problem) {
    if (problem instanceof LostLeaseError) return true
    await end(run, changed, { state: 'needs_attention', ...failed(problem as Error) })
  }
  return true
}

/** Writes the failure down, undoes everything, ends. A failure that an earlier run has written counts. */
async function failWith(run: Run, replay: Replay, changed: ChangedRecords, error: Error): Promise<void> {
  const { journal } = run
  const known = journal.entry.failure
  const failure = known ?? packError(error)
  const isCancelled = failure.details['cancelled'] === true
  const mark = { failure, ...(isCancelled && { state: 'cancelling' as const }) }
  const at = journal.entry.steps.find((step) => step.state === 'running')
  const where = at ? ` in '${at.name}'` : ''
  if (!known) journal.log(isCancelled ? `Cancelled${where}` : `Failed${where}: ${error.message}`)
  if (at && !known)
    await journal.writeStep(at.name, { state: 'failed', ended_at: now(), error: errorView(error) }, mark)
  else await journal.flush(mark)
  await replay.undoAll()
  const last = isCancelled
    ? { state: 'cancelled' as const }
    : { state: 'failed' as const, ...failed(known ? unpackError(known) : error) }
  await end(run, changed, last)
}

function errorView(error: Error) {
  const { message, details } = packError(error)
  return { error: error instanceof AppError ? error.error : 'INTERNAL_ERROR', message, details }
}
const failed = (error: Error) => ({ error: errorView(error) })

const durations = histogram('horcrux_operation_duration_seconds', 'Operations from their start, by how they ended')
const ofVms = histogram('vm_operation_duration_seconds', 'Operations of virtual machines from their start')
gauge('horcrux_operations_running', 'Operations that this process works on', () => here.size)

function measure({ kind, started_at, created_at }: Entry, state: Entry['state']): void {
  const seconds = Math.max(0, Date.now() - Date.parse(started_at ?? created_at)) / 1000
  durations({ kind, state }, seconds)
  const [service, operation] = kind.split('.')
  if (service === 'vms') ofVms({ operation: operation!, state }, seconds)
}

type Last = Partial<Entry> & Pick<Entry, 'state'>

/** Ends an operation. The audit record comes first, under an id of its own: after a crash in between it is written again, to no effect. */
async function end({ journal }: Run, changed: ChangedRecords, last: Last): Promise<void> {
  const { entry } = journal
  const action = kindOf(entry.kind)?.action
  const onRecord = (kind: AuditKind) =>
    recordAudit({
      id: idOfSeed(entry.id, 'end'),
      caller: callerOf(entry),
      kind,
      path: entry.resources[0] ?? '/api',
      action: entry.kind,
      result: last.state === 'succeeded' ? 'success' : 'failure',
      request_id: entry.request_id,
      operation_id: entry.id,
      message: last.error?.message ?? (last.state === 'cancelled' ? 'Cancelled' : null),
      ...(last.state === 'needs_attention' && { severity: 'warning' as const }),
      ...hashesOf(changed),
    })
  // Finished steps are not undone because the store is away for a while.
  if (action) await untilStored(() => onRecord(action.audit))
  journal.log(`Ended: ${last.state}`)
  await journal.flush({ ...last, ended_at: now(), eta: null, cancellable: false, lease: null })
  measure(entry, last.state)
  nudge(entry.id)
  await release(entry.id)
}

/** The service that works, on behalf of the user who began the operation. */
const callerOf = ({ service, user, address }: Entry) =>
  asService(service, { kind: 'service', name: service, user, ...(address !== null && { address }) })

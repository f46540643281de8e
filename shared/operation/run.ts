import { setTimeout as delay } from 'node:timers/promises'
import { asService } from '#shared/access/access.ts'
import { hashesOf, recordAudit } from '#shared/audit/audit.ts'
import type { AuditKind } from '#shared/contract/audit-kinds.ts'
import type { ServiceBroker } from 'moleculer'
import { within } from '#shared/runtime/request-context.ts'
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
import { log, logFields } from '#shared/runtime/log.ts'
import { type Entry, findEntry, holder, leaseMs, logLine, take, untilStored, write } from '#shared/operation/journal.ts'
import { kindOf, type OperationHandler } from '#shared/operation/kinds.ts'
import type { Running } from '#shared/operation/running.ts'
import { release } from '#shared/operation/locks.ts'
import { cut, guard, markStep, opOf, patiently, record, renew } from '#shared/operation/steps.ts'
import { nudge } from '#shared/operation/wait.ts'

const here = new Map<string, Running>()
/** The operations that this process is working on, by id. */
export const runningHere = (id: string) => here.get(id)

/**
 * Hears at once that an operation may have been cancelled; without the bus the next write of the journal tells. Whether it
 * has been is for the journal to say: every service can send the word.
 */
export async function cancelHere(id: string): Promise<void> {
  if (!here.get(id)?.entry.cancellable) return
  const entry = await findEntry(id)
  if (entry?.cancel_requested) here.get(id)?.abort.abort(new CancelledError())
}

/** Lets go of everything, so that others can carry on at once. */
export async function handOver(): Promise<void> {
  for (const { abort } of here.values()) abort.abort(new HandoverError('The process is stopping'))
  const deadline = Date.now() + 5000
  while (here.size > 0 && Date.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 20))
}

/**
 * Works on an operation until it has ended, if it is free to be taken.
 * @param taken how it is in the journal, when this process has its lease already
 * @returns false when another process holds it, or it was handed over before its end: it wants to be looked at again
 */
export async function runOperation(id: string, broker: ServiceBroker, taken?: Entry): Promise<boolean> {
  const entry = taken ?? (await take(id))
  if (!entry) return true
  const running: Running = {
    entry,
    abort: new AbortController(),
    undos: [],
    passed: 0,
    unsent: [],
    lines: [logLine(entry.epoch > 1 ? `Taken over by ${holder}, as run ${entry.epoch}` : `Begun by ${holder}`)],
    touched: new Map(entry.touched),
    unwritten: { state: 'running', started_at: entry.started_at ?? now() },
    done: [],
  }
  here.set(id, running)
  const renewal = setInterval(() => void keep(running), Math.min(keepEveryMs, leaseMs() / 4))
  try {
    const context = {
      broker,
      service: entry.service,
      caller: callerOf(entry),
      requestId: entry.request_id,
      fence: { operation: id, epoch: entry.epoch },
      touched: running.touched,
      guard: () => guard(running),
    }
    return await within(context, () =>
      logFields.run({ request_id: entry.request_id, operation_id: id }, () => work(running)),
    )
  } finally {
    clearInterval(renewal)
    here.delete(id)
  }
}

/** How old the progress in the journal may be, for whoever asks instead of listening. */
const keepEveryMs = 1000
const isDue = ({ entry, kept }: Running) =>
  kept === undefined || Date.now() - kept.at >= leaseMs() / 4 || kept.done !== entry.progress.done

async function keep(running: Running): Promise<void> {
  if (!isDue(running)) return
  try {
    running.kept = { at: Date.now(), done: running.entry.progress.done }
    await renew(running)
    nudge(running.entry.id)
  } catch (error) {
    if (error instanceof LostLeaseError) running.abort.abort(error)
    else log('operations').warn({ err: error }, 'the lease could not be renewed')
  }
}

async function work(running: Running): Promise<boolean> {
  const { entry } = running
  const kind = kindOf(entry.kind)
  try {
    if (entry.cancel_requested) await record(running, { state: 'cancelling' })
    if (!kind) throw new ChangedStepsError(`This version of Horcrux has no operation '${entry.kind}'`)
    const result = await runPatiently(running, kind.handler)
    await end(running, {
      state: 'succeeded',
      result: result ?? null,
      progress: ended(running.entry.progress),
    })
    return true
  } catch (error) {
    return await stopped(running, error as Error)
  }
}

const ended = (progress: Entry['progress']): Entry['progress'] => ({
  ...progress,
  ...(progress.unit === 'steps' && { total: progress.total ?? progress.done }),
  percent: 100,
})

const patienceMs = 40_000

/**
 * Runs the work. What does not answer between two steps, such as the store, is waited for and the work replayed: what is
 * done is not undone for it. Steps have a patience of their own.
 */
async function runPatiently(running: Running, handler: OperationHandler): Promise<unknown> {
  const isInStep = () => running.entry.steps.some(({ state }) => state === 'running')
  for (let [since, place] = [0, -1]; ;) {
    try {
      return await handler.run(opOf(running), running.entry.input as never)
    } catch (error) {
      const isWaitedFor = error instanceof UnavailableError && !isInStep() && !running.abort.signal.aborted
      const reached = running.entry.results.length
      if (reached !== place) [since, place] = [Date.now(), reached]
      if (!isWaitedFor || running.entry.failure || Date.now() > since + patienceMs) throw error
      running.lines.push(logLine(`Waits: ${error.message}`))
      await delay(500)
      Object.assign(running, { passed: 0, undos: [] })
    }
  }
}

/** The work has thrown: undo and end, unless it is not this process's business any more. */
async function stopped(running: Running, error: Error): Promise<boolean> {
  const why = running.abort.signal.aborted ? (running.abort.signal.reason as Error) : error
  if (error instanceof LostLeaseError || why instanceof LostLeaseError) return true
  if (error instanceof HandoverError || why instanceof HandoverError) {
    await write(running.entry, { ...running.unwritten, lease: null }, running.unsent, running.lines).catch(
      () => undefined,
    )
    return false
  }
  if (!(error instanceof AppError)) log('operations').error({ err: error }, 'a bug: an operation failed unexpectedly')
  try {
    if (error instanceof ChangedStepsError) await end(running, { state: 'needs_attention', ...failed(error) })
    else await failWith(running, why instanceof CancelledError ? why : error)
  } catch (problem) {
    if (problem instanceof LostLeaseError) return true
    await end(running, { state: 'needs_attention', ...failed(problem as Error) })
  }
  return true
}

/** Writes down why, undoes everything, ends. The failure that is on record already is the one that counts. */
async function failWith(running: Running, error: Error): Promise<void> {
  const known = running.entry.failure
  const failure = known ?? packError(error)
  const isCancelled = failure.details['cancelled'] === true
  const mark = { failure, ...(isCancelled && { state: 'cancelling' as const }) }
  const at = running.entry.steps.find((step) => step.state === 'running')
  const where = at ? ` in '${at.name}'` : ''
  if (!known) running.lines.push(logLine(isCancelled ? `Cancelled${where}` : `Failed${where}: ${error.message}`))
  if (at && !known) await markStep(running, at.name, { state: 'failed', ended_at: now(), error: shown(error) }, mark)
  else await record(running, mark)
  await undoAll(running)
  await end(
    running,
    isCancelled ? { state: 'cancelled' } : { state: 'failed', ...failed(known ? unpackError(known) : error) },
  )
}

const shown = (error: Error) => {
  const { message, details } = packError(error)
  return { error: error instanceof AppError ? error.error : 'INTERNAL_ERROR', message, details }
}
const failed = (error: Error) => ({ error: shown(error) })

const undoTries = 3

/** Undoes the steps, last first; what was undone before a crash is not undone again. */
async function undoAll(running: Running): Promise<void> {
  for (const { name, undo } of running.undos.toReversed()) {
    const step = running.entry.steps.find((known) => known.name === name)
    if (!step || step.state === 'undone') continue
    await markStep(running, name, { state: 'undoing' })
    for (let tried = 1; ; tried++) {
      try {
        await cut(running, name, 'undo')
        await patiently(undo)
        break
      } catch (error) {
        if (tried < undoTries) continue
        const { message } = packError(error)
        throw new ChangedStepsError(
          `'${name}' could not be undone: ${message}. Put right by hand what it left: ${running.entry.resources.join(', ')}`,
          { cause: error },
        )
      }
    }
    running.lines.push(logLine(`'${name}' is undone`))
    await markStep(running, name, { state: 'undone', ended_at: now() })
  }
}

/** The record of the end comes first, under an id of its own: a crash in between writes it once more, to no effect. */
async function end(running: Running, last: Partial<Entry> & Pick<Entry, 'state'>): Promise<void> {
  const { entry } = running
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
      ...hashesOf(running.touched),
    })
  // What is done is not undone because the store is away for a while.
  if (action) await untilStored(() => onRecord(action.audit))
  running.lines.push(logLine(`Ended: ${last.state}`))
  await record(running, { ...last, ended_at: now(), eta: null, cancellable: false, lease: null })
  nudge(entry.id)
  await release(entry.id)
}

/** The service that works, on behalf of the user who started the operation. */
const callerOf = ({ service, user, address }: Entry) =>
  asService(service, { kind: 'service', name: service, user, ...(address !== null && { address }) })

import { AsyncLocalStorage } from 'node:async_hooks'
import { setTimeout as delay } from 'node:timers/promises'
import { call } from '#shared/bus/call.ts'
import type { Event } from '#shared/contracts/core/events.ts'
import { operations } from '#shared/contracts/core/operations.ts'
import {
  CancelledError,
  ChangedStepsError,
  LostLeaseError,
  packError,
  UnavailableError,
  unpackError,
} from '#shared/errors.ts'
import { now } from '#shared/events/event.ts'
import { idFrom } from '#shared/ids.ts'
import { log } from '#shared/runtime/log.ts'
import { appendLog, type Entry, findEntry, logLine, updated, write } from '#shared/operation/journal.ts'
import type { Op } from '#shared/operation/kinds.ts'
import type { Running } from '#shared/operation/running.ts'
import { announceProgress } from '#shared/operation/progress.ts'
import { followProgress, isActive, waitForEnd } from '#shared/operation/wait.ts'

/** A place in an operation where a test may cut in: it fails, kills or stops the process there. */
export type Cut = {
  operation: string
  kind: string
  step: string
  when: 'before' | 'during' | 'after' | 'recorded' | 'undo'
}
export const cuts: { at?: (cut: Cut) => Promise<void> | undefined } = {}
export const cut = ({ entry: { id, kind } }: Running, step: string, when: Cut['when']) =>
  cuts.at?.({ operation: id, kind, step, when })

type Step = Entry['steps'][number]

/** Writes the journal and tells of it; hears whether the operation has been cancelled. */
export const record = (running: Running, set: Partial<Entry>) => {
  const { entry } = running
  return put(running, set, [updated({ ...entry, ...running.unwritten, ...set, version: entry.version + 1 })])
}

/** Renews the lease, and keeps what is known of the progress. */
export const renew = (running: Running) => put(running, {}, [])

async function put(running: Running, set: Partial<Entry>, events: Event[]): Promise<void> {
  const { entry, unsent, lines, unwritten, done } = running
  const { progress, eta } = entry
  const now = { progress, eta, touched: [...running.touched], ...unwritten, ...set }
  Object.assign(running, { unsent: [], lines: [], unwritten: {}, done: [] })
  const written = await write(entry, now, [...unsent, ...events], lines).catch((error: unknown) => {
    running.unsent.unshift(...unsent)
    running.lines.unshift(...lines)
    running.unwritten = { ...unwritten, ...running.unwritten }
    running.done.unshift(...done)
    throw error
  })
  for (const name of done) await cut(running, name, 'recorded')
  // A renewal of the lease and a step may write at once: what was written last is true, whoever hears of it first.
  if (written.version > running.entry.version)
    running.entry = {
      ...written,
      progress: running.entry.progress,
      eta: running.entry.eta,
      ...set,
      ...running.unwritten,
    }
  if (running.entry.cancel_requested && running.entry.cancellable) running.abort.abort(new CancelledError())
}

const withStep = (steps: Step[], name: string, change: Partial<Step>): Step[] =>
  steps.some((step) => step.name === name)
    ? steps.map((step) => (step.name === name ? { ...step, ...change } : step))
    : [...steps, { name, state: 'running', started_at: now(), ended_at: null, ...change }]

export const markStep = (running: Running, name: string, change: Partial<Step>, more: Partial<Entry> = {}) =>
  record(running, { steps: withStep(running.entry.steps, name, change), ...more })

async function step<T>(
  running: Running,
  name: string,
  work: () => Promise<T>,
  undo?: (result?: T) => Promise<unknown>,
): Promise<T> {
  const recorded = running.entry.results.find(([done]) => done === name)
  const known = running.entry.steps.find((step) => step.name === name)
  if (undo) running.undos.push({ name, undo: () => undo(recorded?.[1] as T | undefined) })
  if (recorded) {
    running.passed++
    return recorded[1] as T
  }
  if (running.entry.failure) throw unpackError(running.entry.failure)
  if (running.passed < running.entry.results.length) throw changedSteps(running, name)
  running.abort.signal.throwIfAborted()
  await markStep(running, name, { state: 'running', started_at: known?.started_at ?? now() }, { stage: name })
  running.abort.signal.throwIfAborted()
  const result = await perform(running, name, work)
  if (undo) running.undos.at(-1)!.undo = () => undo(result)
  running.passed++
  markDone(running, name, result)
  return result
}

/**
 * The end of a step is written with what comes next: the beginning of another, the end of the operation, the renewal of
 * its lease. A process that dies before that has the step done again, as one that dies within the step.
 */
function markDone(running: Running, name: string, result: unknown): void {
  const { entry } = running
  const ended_at = now()
  const results: Entry['results'] = [...entry.results, [name, result ?? null]]
  const { progress } = entry
  const unwritten = {
    steps: withStep(entry.steps, name, { state: 'done', ended_at }),
    results,
    ...(progress.unit === 'steps' && progress.total === null && { progress: { ...progress, done: results.length } }),
  }
  const begun = entry.steps.find((each) => each.name === name)?.started_at ?? ended_at
  running.lines.push(logLine(`'${name}' is done after ${(Date.parse(ended_at) - Date.parse(begun)) / 1000} s`))
  Object.assign(running.unwritten, unwritten)
  running.entry = { ...entry, ...unwritten }
  running.done.push(name)
}

/** @throws LostLeaseError when the lease has run out by the clock, as after a long stop of the process */
export function guard({ entry: { id, lease } }: Running): void {
  if (!lease || Date.parse(lease.until) < Date.now())
    throw new LostLeaseError(`The lease of operation '${id}' has run out`)
}

const forwardTries = 3

/** Does a step's work. Once the operation can only go forward, what fails is tried again before it is given up. */
async function perform<T>(running: Running, name: string, work: () => Promise<T>): Promise<T> {
  for (let tried = 1; ; tried++) {
    try {
      await cut(running, name, 'before')
      guard(running)
      const say = (why: string) => running.lines.push(logLine(`'${name}' waits: ${why}`))
      const [result] = await Promise.all([patiently(work, running.abort.signal, say), cut(running, name, 'during')])
      await cut(running, name, 'after')
      return result
    } catch (error) {
      const isTaken = error instanceof LostLeaseError || running.abort.signal.aborted
      if (running.entry.cancellable || isTaken || tried === forwardTries) throw error
      log('operations').warn({ err: error as Error, step: name }, 'tried again: the operation can only go forward')
      running.lines.push(logLine(`'${name}' is tried again: ${(error as Error).message}`))
    }
  }
}

const patienceMs = 40_000

/**
 * Tries again for a while when a service, a host or the store does not answer: steps bear being run twice. The while
 * begins when that is first known: an answer that was lost on its way may have been waited for longer already.
 * @param onWait hears once why
 */
export async function patiently<T>(
  work: () => Promise<T>,
  signal?: AbortSignal,
  onWait?: (why: string) => unknown,
): Promise<T> {
  for (let deadline: number | undefined; ;) {
    try {
      return await work()
    } catch (error) {
      const isFirst = deadline === undefined
      deadline ??= Date.now() + patienceMs
      if (!(error instanceof UnavailableError) || Date.now() > deadline) throw error
      if (isFirst) onWait?.(error.message)
      await delay(500, undefined, signal && { signal }).catch(() => signal?.throwIfAborted())
    }
  }
}

function changedSteps({ entry, passed }: Running, name: string): ChangedStepsError {
  const [missing] = entry.results[passed]!
  return new ChangedStepsError(
    `This version of Horcrux does not know the step '${missing}' that the operation has done; it would go on with '${name}'. ` +
      'Nothing more was done. Finish it with the version that began it, or look at its steps and put right by hand what they left.',
  )
}

/** The handle that the work of an operation is given. */
export function opOf(running: Running): Op {
  const { id, user, kind } = running.entry
  const op: Op = {
    id,
    user,
    signal: running.abort.signal,
    step: (name, work, { undo } = {}) => step(running, name, work, undo),
    progress: (done, total, unit) => announceProgress(running, done, total, unit),
    log: (message) => {
      appendLog(id, message).catch((error: Error) =>
        log('operations').warn({ err: error, operation_id: id }, 'a line of its log was lost'),
      )
    },
    emit: (...events) => running.unsent.push(...events),
    commit: async () => {
      if (running.entry.cancellable) await record(running, { cancellable: false })
      if (running.entry.cancel_requested) throw new CancelledError()
    },
    child: async (contract, action, params, { name = `${contract.name}.${action}`, undo, within } = {}) => {
      const childId = idFrom(`${id}/${name}`)
      const work = async () => {
        await call(contract, action, params as never, { operationId: childId })
        return await finishChild(running, childId, within)
      }
      const undoChild = async () => {
        await endChild(childId)
        await undo?.()
      }
      return (await step(running, name, work, undoChild)) as never
    },
  }
  log('operations').debug({ operation_id: id, kind }, 'running')
  return op
}

/** Before what a child has done is undone, the child must have come to its end. */
async function endChild(id: string): Promise<void> {
  const child = await findEntry(id)
  if (!child || !isActive(child)) return
  await call(operations, 'cancel', { id }).catch(() => undefined)
  await waitForEnd(id)
}

/** Waits for an operation that this one has started; its progress is shown as this one's, cancelling passes on. */
async function finishChild(running: Running, id: string, within?: { before: number; total: number }): Promise<unknown> {
  const { signal } = running.abort
  // The signal is given by whoever cancels: the call is to be made as this operation all the same.
  const cancel = AsyncLocalStorage.bind(() => {
    call(operations, 'cancel', { id }).catch((error: Error) => log('operations').debug({ err: error }, 'not cancelled'))
  })
  signal.addEventListener('abort', cancel, { once: true })
  let furthest = 0
  const heard = ({ done, total, unit }: Pick<Entry['progress'], 'done' | 'total' | 'unit'>) => {
    // The journal tells of it too, a little later.
    if (done < furthest) return
    furthest = done
    if (!within) announceProgress(running, done, total, unit)
    else if (unit === 'bytes') announceProgress(running, within.before + done, within.total, unit)
  }
  const unfollow = followProgress(id, AsyncLocalStorage.bind(heard))
  try {
    const ended = await waitForEnd(id, { onUpdate: ({ progress }) => heard(progress) })
    if (ended.state === 'succeeded') return ended.result
    if (ended.state === 'cancelled') throw new CancelledError()
    throw unpackError(ended.failure ?? packError(undefined))
  } finally {
    unfollow()
    signal.removeEventListener('abort', cancel)
  }
}

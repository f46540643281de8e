import { CancelledError, ChangedStepsError, LostLeaseError, packError, unpackError } from '#shared/errors.ts'
import { now } from '#shared/events/event.ts'
import { runChild } from '#shared/operation/child.ts'
import { childrenOf } from '#shared/operation/children.ts'
import { appendLog, type Journal } from '#shared/operation/journal.ts'
import type { Op } from '#shared/operation/kinds.ts'
import { requireLease } from '#shared/operation/lease.ts'
import type { StepPlace } from '#shared/operation/observe.ts'
import { patiently } from '#shared/operation/patience.ts'
import { announceProgress } from '#shared/operation/progress.ts'
import { log } from '#shared/runtime/log.ts'

/** One run of an operation: from its taking by this process to its end, or to the loss of its lease. */
export type Run = {
  journal: Journal
  /** Aborted when the operation is cancelled, handed over or lost; the reason is the error that says so. */
  abort: AbortController
  observe: (step: string, when: StepPlace['when']) => Promise<void> | void | undefined
}

/**
 * The work of an operation, called from its beginning: steps in the journal answer with their recorded result, the first
 * one that is not there is done.
 */
export type Replay = {
  /** Given to the work. */
  op: Op
  /** Undoes the steps that the work has come past, the last one first; steps that were undone before are passed over. */
  undoAll: () => Promise<void>
}

type Undo = { name: string; undo: () => Promise<unknown> }
type Undoing<T> = ((result?: T) => Promise<unknown>) | undefined

const forwardTries = 3
const undoTries = 3

/** Begins a replay of a run's work. */
export function createReplay(run: Run): Replay {
  const { journal, abort } = run
  const undos: Undo[] = []
  /** Number of recorded steps that the replay has passed. */
  let passed = 0

  const step = async <T>(name: string, work: () => Promise<T>, undo?: Undoing<T>, isForward = false): Promise<T> => {
    const { results, steps, failure } = journal.entry
    const recorded = results.find(([done]) => done === name)
    const own: Undo = { name, undo: async () => undo?.(recorded?.[1] as T | undefined) }
    if (undo) undos.push(own)
    if (recorded) {
      passed++
      return recorded[1] as T
    }
    if (failure) throw unpackError(failure)
    if (passed < results.length) throw changedSteps(results[passed]![0], name)
    abort.signal.throwIfAborted()
    const started_at = steps.find((known) => known.name === name)?.started_at ?? now()
    await journal.writeStep(name, { state: 'running', started_at }, { stage: name })
    abort.signal.throwIfAborted()
    const result = await perform(run, name, work, isForward)
    own.undo = async () => undo?.(result)
    passed++
    journal.endStep(name, result)
    return result
  }

  const { id, user } = journal.entry
  const op: Op = {
    id,
    user,
    signal: abort.signal,
    step: (name, work, { undo } = {}) => step(name, work, undo),
    child: async (contract, action, params, { name = `${contract.name}.${action}`, undo, within } = {}) => {
      const child = runChild(run, name, contract, action, params, within)
      const undoChild = async () => {
        await child.end()
        await undo?.()
      }
      return await step(name, child.work, undoChild)
    },
    children: async (contract, action, each) => {
      const name = `${action} of each`
      const { work, end } = childrenOf(run, name, contract, action, each)
      return await step(name, work, end, true)
    },
    progress: (done, total, unit) => announceProgress(run, done, total, unit),
    log: (message) => {
      appendLog(id, message).catch((error: Error) =>
        log('operations').warn({ err: error, operation_id: id }, 'a line of its log was lost'),
      )
    },
    emit: journal.emit,
    commit: async () => {
      if (journal.entry.cancellable) await journal.flush({ cancellable: false })
      if (journal.entry.cancel_requested) throw new CancelledError()
    },
  }

  const undoAll = async (): Promise<void> => {
    for (const { name, undo } of undos.toReversed()) {
      const known = journal.entry.steps.find((step) => step.name === name)
      if (!known || known.state === 'undone') continue
      await journal.writeStep(name, { state: 'undoing' })
      await undoPatiently(run, name, undo)
      journal.log(`'${name}' is undone`)
      await journal.writeStep(name, { state: 'undone', ended_at: now() })
    }
  }
  return { op, undoAll }
}

/**
 * Does a step's work. After `commit`, and if the step itself can only go forward, it is tried again when it fails, before the
 * operation gives up.
 */
async function perform<T>(
  { journal, abort, observe }: Run,
  name: string,
  work: () => Promise<T>,
  isForward: boolean,
): Promise<T> {
  for (let tried = 1; ; tried++) {
    try {
      await observe(name, 'before')
      requireLease(journal.entry)
      const onWait = (why: string) => journal.log(`'${name}' waits: ${why}`)
      const [result] = await Promise.all([patiently(work, abort.signal, onWait), observe(name, 'during')])
      await observe(name, 'after')
      return result
    } catch (error) {
      const isTaken = error instanceof LostLeaseError || abort.signal.aborted
      if ((journal.entry.cancellable && !isForward) || isTaken || tried === forwardTries) throw error
      log('operations').warn({ err: error as Error, step: name }, 'tried again: the operation can only go forward')
      journal.log(`'${name}' is tried again: ${(error as Error).message}`)
    }
  }
}

async function undoPatiently({ journal, observe }: Run, name: string, undo: () => Promise<unknown>): Promise<void> {
  for (let tried = 1; ; tried++) {
    try {
      await observe(name, 'undo')
      await patiently(undo)
      return
    } catch (error) {
      if (tried < undoTries) continue
      const { message } = packError(error)
      throw new ChangedStepsError(
        `'${name}' could not be undone: ${message}. Put right by hand what it left: ${journal.entry.resources.join(', ')}`,
        { cause: error },
      )
    }
  }
}

const changedSteps = (recorded: string, next: string) =>
  new ChangedStepsError(
    `This version of Horcrux does not know the step '${recorded}' that the operation has done; it would go on with '${next}'. ` +
      'Nothing more was done. Finish the operation with the version that began it, or look at its steps and put right by hand what they left.',
  )

import { setTimeout as delay } from 'node:timers/promises'
import type { Event } from '#shared/contracts/core/events.ts'
import { findAndUpdate, update } from '#shared/db/commands.ts'
import { inStore } from '#shared/db/connect.ts'
import { heldAs } from '#shared/db/lease.ts'
import { flushSoon } from '#shared/db/outbox.ts'
import { LostLeaseError, UnavailableError } from '#shared/errors.ts'
import { now } from '#shared/events/event.ts'
import {
  activeStates,
  type Entry,
  findEntry,
  fromStore,
  isActive,
  type LogLine,
  logLine,
  operationModel,
  type Step,
  updated,
} from '#shared/operation/entries.ts'
import { holder, ownLease } from '#shared/operation/lease.ts'
import type { ChangedRecords } from '#shared/runtime/request-context.ts'

/**
 * Everything that waits for the next write of an operation's journal. A batch is *open* while it collects, *in flight*
 * while it is being written, and then either in the store or, when the write failed, back in front of the open batch.
 */
type Batch = {
  /** Fields of the entry, such as the step that has ended last. */
  set: Partial<Entry>
  events: Event[]
  lines: LogLine[]
  /** The steps whose end is in this batch. */
  endedSteps: string[]
}

const emptyBatch = (): Batch => ({ set: {}, events: [], lines: [], endedSteps: [] })

/** Joins two batches; fields of the later one win. */
const joined = (earlier: Batch, later: Batch): Batch => ({
  set: { ...earlier.set, ...later.set },
  events: [...earlier.events, ...later.events],
  lines: [...earlier.lines, ...later.lines],
  endedSteps: [...earlier.endedSteps, ...later.endedSteps],
})

/** The journal of one run. Every write renews the lease; all of them throw LostLeaseError once another process has taken it. */
export type Journal = {
  /** The operation as this run knows it: as last written, with everything that waits for the next write. */
  readonly entry: Entry
  /** Adds a line to the operation's log, with the next write. */
  log: (message: string) => void
  /** Adds events to the next write. */
  emit: (...events: Event[]) => void
  /** Notes the progress, for the next write. */
  setProgress: (progress: Entry['progress'], eta: string | null) => void
  /** Writes a change of a step at once, with everything that waits. */
  writeStep: (name: string, change: Partial<Step>, set?: Partial<Entry>) => Promise<void>
  /** Notes a step's end and result, for the next write. A process that dies before it has the step done again. */
  endStep: (name: string, result: unknown) => void
  /** Writes everything that waits, and `set`, as one; an OperationUpdated event tells of it. */
  flush: (set?: Partial<Entry>) => Promise<void>
  /** Renews the lease; writes everything that waits. */
  renew: () => Promise<void>
  /** Gives the lease back; writes everything that waits. */
  handOver: () => Promise<void>
  /** Time since the last write. */
  ageMs: () => number
  /** True if the progress has changed since the last write. */
  hasNewProgress: () => boolean
}

type Options = {
  /** The records that the run changes, written with every write. */
  changed: ChangedRecords
  /** Called after each write, with the steps whose end was in it. */
  onWritten: (endedSteps: string[]) => Promise<void>
}

/** Begins the journal of a run. @param taken the operation, just taken by this process */
export function openJournal(taken: Entry, { changed, onWritten }: Options): Journal {
  let entry = taken
  // The beginning itself is written with the first step.
  let open: Batch = {
    ...emptyBatch(),
    set: { state: 'running', started_at: taken.started_at ?? now() },
    lines: [logLine(taken.epoch > 1 ? `Taken over by ${holder}, as run ${taken.epoch}` : `Begun by ${holder}`)],
  }
  let lastWrite: Promise<unknown> = Promise.resolve()
  let writtenAt = performance.now()
  let writtenProgress = taken.progress.done

  const writeOpen = async (set: Partial<Entry>, isTold: boolean): Promise<void> => {
    const inFlight = open
    open = emptyBatch()
    const { progress, eta } = entry
    const fields = { progress, eta, touched: [...changed], ...inFlight.set, ...set }
    const told = isTold ? [updated({ ...entry, ...inFlight.set, ...set, version: entry.version + 1 })] : []
    const written = await writeEntry(entry, fields, [...inFlight.events, ...told], inFlight.lines).catch(
      (error: unknown) => {
        open = joined(inFlight, open)
        throw error
      },
    )
    writtenAt = performance.now()
    writtenProgress = fields.progress.done
    // The work went on meanwhile: its progress, and the step that it has ended, wait for the next write.
    entry = { ...written, progress: entry.progress, eta: entry.eta, ...set, ...open.set }
    await onWritten(inFlight.endedSteps)
  }
  /** One write after the other. */
  const inTurn = (set: Partial<Entry>, isTold: boolean): Promise<void> => {
    const turn = lastWrite.then(() => writeOpen(set, isTold))
    lastWrite = turn.catch(() => undefined)
    return turn
  }
  const addToNext = (set: Partial<Entry>) => {
    Object.assign(open.set, set)
    entry = { ...entry, ...set }
  }
  const logNext = (message: string) => void open.lines.push(logLine(message))

  return {
    get entry() {
      return entry
    },
    log: logNext,
    emit: (...events) => void open.events.push(...events),
    setProgress: (progress, eta) => (entry = { ...entry, progress, eta }),
    writeStep: (name, change, set = {}) => inTurn({ steps: withStep(entry.steps, name, change), ...set }, true),
    endStep: (name, result) => {
      const { steps, results: known, progress } = entry
      const ended_at = now()
      const results: Entry['results'] = [...known, [name, result ?? null]]
      const isCounted = progress.unit === 'steps' && progress.total === null
      addToNext({
        steps: withStep(steps, name, { state: 'done', ended_at }),
        results,
        ...(isCounted && { progress: { ...progress, done: results.length } }),
      })
      const begun = steps.find((step) => step.name === name)?.started_at ?? ended_at
      logNext(`'${name}' is done after ${(Date.parse(ended_at) - Date.parse(begun)) / 1000} s`)
      open.endedSteps.push(name)
    },
    flush: (set = {}) => inTurn(set, true),
    renew: () => inTurn({}, false),
    handOver: () => inTurn({ lease: null }, false),
    ageMs: () => performance.now() - writtenAt,
    hasNewProgress: () => entry.progress.done !== writtenProgress,
  }
}

const withStep = (steps: Step[], name: string, change: Partial<Step>): Step[] =>
  steps.some((step) => step.name === name)
    ? steps.map((step) => (step.name === name ? { ...step, ...change } : step))
    : [...steps, { name, state: 'running', started_at: now(), ended_at: null, ...change }]

const storePatienceMs = 120_000

/** Repeats a store command while the store does not answer: an outage ends no operation. The epoch tells afterwards whether the lease is still ours. */
export async function untilStored<T>(command: () => Promise<T>): Promise<T> {
  const deadline = Date.now() + storePatienceMs
  for (;;) {
    try {
      return await inStore(command)
    } catch (error) {
      if (!(error instanceof UnavailableError) || Date.now() > deadline) throw error
      await delay(250)
    }
  }
}

/**
 * Writes an entry as the holder of its epoch, and renews the lease unless `set` gives it back. An OperationUpdated event
 * is made anew when another write (a renewal, a request to cancel) came in between, so that it tells the right version.
 * @throws LostLeaseError when another process took the operation over, or it has ended
 */
export async function writeEntry(
  entry: Entry,
  set: Partial<Entry>,
  events: Event[] = [],
  lines: LogLine[] = [],
): Promise<Entry> {
  const lease = 'lease' in set ? set.lease : ownLease()
  for (let known = entry; ;) {
    const next = { ...known, ...set, version: known.version + 1 }
    const told = known === entry ? events : events.map((one) => (one.type === 'OperationUpdated' ? updated(next) : one))
    const pushed = {
      ...(told.length > 0 && { outbox: { $each: told } }),
      ...(lines.length > 0 && { log: lastOf(lines) }),
    }
    const fits = { ...heldAs(entry), version: known.version, state: { $in: activeStates } }
    const change = {
      $set: { ...set, lease },
      $inc: { version: 1 },
      ...(Object.keys(pushed).length > 0 && { $push: pushed }),
    }
    const written = await untilStored(() => findAndUpdate(operationModel, fits, change))
    if (written && told.length > 0) flushSoon(operationModel, written)
    if (written) return fromStore(written)
    const found = await untilStored(() => findEntry(entry.id))
    if (found?.epoch !== entry.epoch || !isActive(found))
      throw new LostLeaseError(`Operation '${entry.id}' was taken over`)
    known = found
  }
}

const keptLines = 500
const lastOf = (lines: LogLine[]) => ({ $each: lines, $slice: -keptLines })

/** Adds a line of the work to an operation's log at once. */
export const appendLog = (id: string, message: string) =>
  update(operationModel, { _id: id }, { $push: { log: lastOf([logLine(message)]) } })

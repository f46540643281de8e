import type { Event } from '#shared/contracts/core/events.ts'
import type { Touched } from '#shared/runtime/request-context.ts'
import type { Entry, LogLine } from '#shared/operation/journal.ts'

/** An operation in the hands of this process: its entry as last written, and what undoes the steps taken so far. */
export type Running = {
  entry: Entry
  abort: AbortController
  undos: { name: string; undo: () => Promise<unknown> }[]
  /** How many recorded steps the work has come past. */
  passed: number
  unsent: Event[]
  /** For its log, with the next entry of the journal. */
  lines: LogLine[]
  /** What it has changed so far, also in the hands of others before. */
  touched: Touched
  /** Goes into the journal with its next entry: that it has begun, and the step that was done last. */
  unwritten: Partial<Entry>
  /** The steps whose end has not been written yet. */
  done: string[]
  /** When the lease was last renewed by the clock, and how far the work was then. */
  kept?: { at: number; done: number }
}

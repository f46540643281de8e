import { isBusConnected } from '#shared/bus/bus.ts'
import { hasEnded } from '#shared/db/lease.ts'
import { publish } from '#shared/events/publish.ts'
import { type Entry, updated } from '#shared/operation/entries.ts'
import type { Journal } from '#shared/operation/journal.ts'
import { tellProgress } from '#shared/operation/wait.ts'
import { log } from '#shared/runtime/log.ts'

/** The part of a run whose progress is announced. */
export type Progressing = { journal: Journal; abort: AbortController }

const everyMs = 100
const due = new WeakMap<Journal, { last: number; timer?: NodeJS.Timeout }>()

/** Announces how far an operation is, at most ten times a second; the last announcement is late by a tenth, never lost. */
export function announceProgress(
  { journal, abort }: Progressing,
  done: number,
  total: number | null,
  unit: 'bytes' | 'steps',
): void {
  const { started_at, created_at } = journal.entry
  const percent = total ? Math.min(100, Math.round((done / total) * 1000) / 10) : null
  const elapsedMs = Date.now() - Date.parse(started_at ?? created_at)
  const eta = total && done > 0 ? new Date(Date.now() + (elapsedMs * (total - done)) / done).toISOString() : null
  journal.setProgress({ done, total, unit, percent }, eta)
  const state = due.get(journal) ?? { last: 0 }
  due.set(journal, state)
  if (state.timer) return
  state.timer = setTimeout(
    () => {
      delete state.timer
      state.last = Date.now()
      if (!abort.signal.aborted && mayTell(journal.entry)) send(journal.entry)
    },
    Math.max(0, state.last + everyMs - Date.now()),
  )
}

/** Under the lease only: a process that was stopped must not tell of its run after another one has ended the operation. */
export const mayTell = ({ ended_at, lease }: Pick<Entry, 'ended_at' | 'lease'>): boolean =>
  ended_at === null && !hasEnded(lease)

function send(entry: Entry): void {
  // A process that has left the bus for good may still bring its work to an end.
  if (!isBusConnected()) return
  tellProgress(entry)
  publish(updated(entry)).catch((error: Error) =>
    log('operations').debug({ err: error }, 'a progress event was not sent'),
  )
}

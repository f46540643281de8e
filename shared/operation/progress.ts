import { isBusConnected } from '#shared/bus/bus.ts'
import { log } from '#shared/runtime/log.ts'
import { publish } from '#shared/events/publish.ts'
import { type Entry, updated } from '#shared/operation/journal.ts'
import type { Running } from '#shared/operation/running.ts'
import { tellProgress } from '#shared/operation/wait.ts'

const everyMs = 100
const due = new WeakMap<Running, { last: number; timer?: NodeJS.Timeout }>()

/** Tells how far an operation is, at most ten times a second; the last word within a tenth of a second is never lost. */
export function announceProgress(running: Running, done: number, total: number | null, unit: 'bytes' | 'steps'): void {
  const { entry } = running
  const percent = total ? Math.min(100, Math.round((done / total) * 1000) / 10) : null
  const elapsedMs = Date.now() - Date.parse(entry.started_at ?? entry.created_at)
  const eta = total && done > 0 ? new Date(Date.now() + (elapsedMs * (total - done)) / done).toISOString() : null
  running.entry = { ...entry, progress: { done, total, unit, percent }, eta }
  const state = due.get(running) ?? { last: 0 }
  due.set(running, state)
  if (state.timer) return
  state.timer = setTimeout(
    () => {
      delete state.timer
      state.last = Date.now()
      if (!running.abort.signal.aborted && running.entry.ended_at === null) send(running.entry)
    },
    Math.max(0, state.last + everyMs - Date.now()),
  )
}

function send(entry: Entry): void {
  // Also when this process has left the bus for good, and its work comes to an end.
  if (!isBusConnected()) return
  tellProgress(entry)
  publish(updated(entry)).catch((error: Error) =>
    log('operations').debug({ err: error }, 'a progress event was not sent'),
  )
}

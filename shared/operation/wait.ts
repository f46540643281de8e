import { bus, listen } from '#shared/bus/bus.ts'
import { operationSubjects } from '#shared/bus/identity/subjects.ts'
import { type Entry, findEntry, isActive } from '#shared/operation/entries.ts'

/** Publishes a hint that an operation has changed; waiters also look by themselves. */
export function nudge(id: string): void {
  const { nats } = bus()
  if (!nats.isClosed()) nats.publish(operationSubjects.changed(id))
}

type Progress = Pick<Entry['progress'], 'done' | 'total' | 'unit'>

/** Publishes the progress of an operation between two writes of the journal. */
export function tellProgress({ id, progress }: Entry): void {
  const { nats } = bus()
  if (!nats.isClosed()) nats.publish(operationSubjects.progress(id), JSON.stringify(progress))
}

/** Subscribes to the progress of an operation. @returns a function that ends it */
export const followProgress = (id: string, heard: (progress: Progress) => void): (() => void) =>
  listen(operationSubjects.progress(id), (message) => heard(message.json<Progress>()))

type Options = { timeoutMs?: number; onUpdate?: (entry: Entry) => void }

/** Waits until an operation has ended or the time is over; calls `onUpdate` at each change. @returns the entry as it is then */
export async function waitForEnd(id: string, { timeoutMs = Infinity, onUpdate }: Options = {}): Promise<Entry> {
  const deadline = Date.now() + timeoutMs
  let wake = () => {}
  const stopListening = listen(operationSubjects.changed(id), () => wake())
  try {
    for (;;) {
      const hinted = new Promise<void>((resolve) => (wake = resolve))
      const entry = (await findEntry(id))!
      onUpdate?.(entry)
      const left = deadline - Date.now()
      if (!isActive(entry) || left <= 0) return entry
      // Hints may be lost with the bus: read again at least every half second.
      await Promise.race([hinted, new Promise((resolve) => setTimeout(resolve, Math.min(left, 500)))])
    }
  } finally {
    stopListening()
  }
}

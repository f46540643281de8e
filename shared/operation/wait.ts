import { bus } from '#shared/bus/bus.ts'
import { type Entry, findEntry, isActive } from '#shared/operation/entries.ts'

const subject = (id: string) => `horcrux.operation.${id}`

/** Publishes a hint that an operation has changed; waiters also look by themselves. */
export function nudge(id: string): void {
  const { nats } = bus()
  if (!nats.isClosed()) nats.publish(subject(id))
}

type Progress = Pick<Entry['progress'], 'done' | 'total' | 'unit'>
const progressSubject = (id: string) => `${subject(id)}.progress`

/** Publishes the progress of an operation between two writes of the journal. */
export function tellProgress({ id, progress }: Entry): void {
  const { nats } = bus()
  if (!nats.isClosed()) nats.publish(progressSubject(id), JSON.stringify(progress))
}

/** Subscribes to the progress of an operation. @returns a function that ends it */
export function followProgress(id: string, heard: (progress: Progress) => void): () => void {
  const callback = (_: unknown, message: { string: () => string }) => heard(JSON.parse(message.string()) as Progress)
  const hints = bus().nats.subscribe(progressSubject(id), { callback })
  return () => hints.unsubscribe()
}

type Options = { timeoutMs?: number; onUpdate?: (entry: Entry) => void }

/** Waits until an operation has ended or the time is over; calls `onUpdate` at each change. @returns the entry as it is then */
export async function waitForEnd(id: string, { timeoutMs = Infinity, onUpdate }: Options = {}): Promise<Entry> {
  const deadline = Date.now() + timeoutMs
  let wake = () => {}
  const hints = bus().nats.subscribe(subject(id), { callback: () => wake() })
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
    hints.unsubscribe()
  }
}

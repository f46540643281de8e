import { bus, isBusConnected } from '#shared/bus.ts'

const subject = 'horcrux.changed'

/**
 * Says on the bus that a collection has changed, for caches. It is said before any event of the change, and may be lost
 * when the bus is away: a cache does not live by it alone.
 */
export function announceChange(collection: string): void {
  if (isBusConnected()) bus().nats.publish(`${subject}.${collection}`)
}

/** Hears which collections change. @returns a function that stops it */
export function onChange(heard: (collection: string) => void): () => void {
  const subscription = bus().nats.subscribe(`${subject}.*`, {
    callback: (error, message) => {
      if (!error) heard(message.subject.slice(subject.length + 1))
    },
  })
  return () => subscription.unsubscribe()
}

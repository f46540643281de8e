import { bus, onBus } from '#shared/bus/bus.ts'
import type { Event } from '#shared/contracts/core/events.ts'

const subjectOf = (event: Event) => `horcrux.events.${event.topic.replace(':', '.')}`

/** Publishes an event that may be lost, such as a measurement: nothing waits for the stream. */
export const publishLossy = (event: Event): void => bus().nats.publish(subjectOf(event), JSON.stringify(event))

/**
 * Publishes an event into the stream; an event that it has already is not doubled.
 * @throws UnavailableError when the stream does not acknowledge it
 */
export async function publish(event: Event): Promise<void> {
  await onBus(() => bus().jetStream.publish(subjectOf(event), JSON.stringify(event), { msgID: event.id }))
}

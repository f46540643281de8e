import { bus, onBus } from '#shared/bus/bus.ts'
import type { Event } from '#shared/contracts/core/events.ts'

const subjectOf = (event: Event) => `horcrux.events.${event.topic.replace(':', '.')}`

/**
 * Puts an event into the stream; an event that is there already is not doubled.
 * @throws UnavailableError when the stream does not say that it has it
 */
export async function publish(event: Event): Promise<void> {
  await onBus(() => bus().jetStream.publish(subjectOf(event), JSON.stringify(event), { msgID: event.id }))
}

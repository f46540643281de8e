import { v7 } from 'uuid'
import { type Event, type EventData, events, type EventType } from '#shared/contracts/core/events.ts'

/** Times on the wire and in the store: RFC 3339, UTC. */
export const now = () => new Date().toISOString()

/** Makes an event, for the outbox of the document that changes. */
export const event = <T extends EventType>(type: T, data: EventData<T>): Event => ({
  id: v7(),
  type,
  time: now(),
  topic: events[type].topic,
  data,
})

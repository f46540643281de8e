import type { Topic } from '#shared/contracts/core/events.ts'
import type { Hub, Reader } from './hub.ts'
import type { Session } from './sessions.ts'

/**
 * Gives a session these topics from now on: with `from`, beginning after that place (0 is the oldest that is kept), else
 * after what it was given last, or what is newest.
 */
export async function subscribe(
  hub: Hub,
  session: Session,
  how: Pick<Reader, 'medium' | 'outlet'>,
  topics: readonly Topic[],
  from?: number,
): Promise<void> {
  const { reader: known, audience } = session
  const start = from === 0 ? await hub.oldest() : from
  if (known) hub.pause(known)
  const reader: Reader = known ?? { ...how, topics: new Set(), audience, seq: hub.place(), state: 'waiting', turn: 0 }
  reader.topics = new Set(topics)
  reader.audience = session.audience
  if (start !== undefined) reader.seq = start
  session.reader = reader
  hub.add(reader)
  hub.say(reader, 'Subscribed', { topics: [...reader.topics] })
  // Else it begins when it is known again what it may have.
  if (session.isSure) hub.resume(reader)
}

import type { NatsConnection } from 'nats'

/** An event as JetStream keeps it. */
export type Kept = { seq: number; id: string; type: string; data: unknown }

/** All that the event stream of a bus holds, read past Horcrux. */
export async function keptEvents(connect: () => Promise<NatsConnection>): Promise<Kept[]> {
  const nats = await connect()
  try {
    const consumer = await nats.jetstream().consumers.get('horcrux-events')
    const found: Kept[] = []
    for (let pending = 1; pending > 0;) {
      const messages = await consumer.fetch({ max_messages: 500, expires: 2000 })
      pending = 0
      for await (const message of messages) {
        found.push({ seq: message.seq, ...message.json<Omit<Kept, 'seq'>>() })
        pending = message.info.pending
        if (pending === 0) break
      }
    }
    return found
  } finally {
    await nats.close()
  }
}

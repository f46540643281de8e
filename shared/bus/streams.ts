import { isDeepStrictEqual } from 'node:util'
import { type Msg, nanos, type StreamConfig } from 'nats'
import { type Bus, bus, listen, onBus, request, respond } from '#shared/bus/bus.ts'
import { streams, streamsSubject } from '#shared/bus/identity/subjects.ts'
import { log } from '#shared/runtime/log.ts'

export { streams }

const hours = 3_600_000

/** Events are kept for 24 h; the same message id within that time is the same event. */
const eventStream = {
  name: streams.events,
  subjects: ['horcrux.events.>'],
  max_age: nanos(24 * hours),
  duplicate_window: nanos(24 * hours),
}

/** The queue of operations. The store is the truth: a message holds only an operation's id. */
const workStream = {
  name: streams.work,
  subjects: ['horcrux.work.>'],
  retention: 'workqueue',
  duplicate_window: nanos(60_000),
}

/** Makes the streams, or has them made. The process that makes them may start later: each use asks again for a missing one. */
export async function openStreams(): Promise<void> {
  const connected = bus()
  if (connected.keepsStreams) await keepStreams(connected)
  else await ensureStreams(connected).catch(() => undefined)
}

async function keepStreams(connected: Bus): Promise<void> {
  const answer = async (message: Msg) => {
    await makeStreams(connected)
    respond(message)
  }
  listen(streamsSubject, (message) => {
    answer(message).catch((error: Error) => log('bus').warn({ err: error }, 'the streams could not be made'))
  })
  // JetStream may answer later than the server does.
  await onBus(() => makeStreams(connected))
}

/** Makes the streams if they are missing (a new or lost JetStream folder), or requests it from the process that keeps them. */
export async function ensureStreams(connected: Bus = bus()): Promise<void> {
  if (connected.keepsStreams) return makeStreams(connected)
  await request(streamsSubject, 3000)
}

let making: Promise<void> | undefined

/** Concurrent calls share one run. */
function makeStreams({ manager }: Bus): Promise<void> {
  const make = async () => {
    const streamsManager = (await manager()).streams
    for (const stream of [eventStream, workStream] as Partial<StreamConfig>[]) {
      const there = await streamsManager.info(stream.name!).catch(() => undefined)
      if (!there) await streamsManager.add(stream)
      else if (!isAs(there.config, stream)) await streamsManager.update(stream.name!, stream)
    }
  }
  return (making ??= make().finally(() => (making = undefined)))
}

/** A server that is killed while it rewrites a stream's settings makes the stream anew: nothing is rewritten without need. */
const isAs = (config: StreamConfig, wanted: Partial<StreamConfig>) =>
  Object.entries(wanted).every(([key, value]) => isDeepStrictEqual(config[key as keyof StreamConfig], value))

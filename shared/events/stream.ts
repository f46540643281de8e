import { setTimeout as delay } from 'node:timers/promises'
import { AckPolicy, type Consumer, type ConsumerMessages, DeliverPolicy, type JsMsg, nanos } from 'nats'
import { bus, onBus, onBusChange } from '#shared/bus/bus.ts'
import { ensureStreams, streams } from '#shared/bus/streams.ts'
import type { Event } from '#shared/contracts/core/events.ts'
import { log } from '#shared/runtime/log.ts'

/** An event and its place in the stream. */
export type Placed = { seq: number; event: Event }

/** The identity of the stream, which may be lost and made anew, and the places that it holds. */
type Extent = { base: number; first: number; last: number }

const epoch = Date.UTC(2026, 0, 1)

/**
 * The first place of a stream: the microseconds from 2026 to its creation. The place of a message is this plus its
 * JetStream sequence. A recreated stream therefore continues above its predecessor, and no place means two events;
 * every replica computes the same without stored state. Below 2^53 until the year 2311.
 */
const baseOf = (created: string) => (Date.parse(created) - epoch) * 1000

/** Reads which places the stream holds. @throws UnavailableError when the bus is away */
export async function streamExtent(): Promise<Extent> {
  const { created, state } = await onBus(async () => (await bus().manager()).streams.info(streams.events))
  const base = baseOf(created)
  // A stream that never held anything says 0 for both.
  return { base, first: base + Math.max(1, state.first_seq), last: base + state.last_seq }
}

async function consumerFrom({ base }: Extent, seq: number): Promise<Consumer> {
  const { consumers } = await bus().manager()
  const { name } = await consumers.add(streams.events, {
    ack_policy: AckPolicy.None,
    deliver_policy: DeliverPolicy.StartSequence,
    opt_start_seq: seq - base,
    inactive_threshold: nanos(3 * pullMs),
    max_deliver: 1,
    mem_storage: true,
    num_replicas: 1,
  })
  return bus().jetStream.consumers.get(streams.events, name)
}

const placed = (message: JsMsg, base: number): Placed => ({
  seq: base + message.info.streamSequence,
  // Only outbox.ts publishes into this stream.
  event: message.json<Event>(),
})

type Heard = {
  /** Begins this many events before the end of the stream, if it holds as many. */
  before: number
  event: (placed: Placed) => void
  /** Called when events were lost: the next one comes after this place. */
  lost: (seq: number) => void
}

const batch = 500
/** A pull without a message is renewed this often, and with it the place in the stream is checked. Milliseconds. */
const pullMs = 10_000

/**
 * Delivers every event in order and once, for as long as the process lives, through outages of NATS and losses of the
 * stream. @returns a function that stops it; `ready` settles when it has caught up for the first time
 */
export function followEvents({ before, event, lost }: Heard): { ready: Promise<void>; stop: () => void } {
  const ready = Promise.withResolvers<void>()
  let position: { base: number; seq: number; id?: string } | undefined
  let stopped = false
  let fetched: ConsumerMessages | undefined
  let isStale = false

  const stopWatching = onBusChange(() => {
    isStale = true
    void fetched?.close()
  })

  /**
   * Checks that the last delivered event is still at its place. A killed server may lose an event that it has already
   * delivered, and assign its place to another one.
   */
  const isInPlace = async ({ first, base }: Extent): Promise<boolean> => {
    if (!position || position.id === undefined || position.seq < first) return true
    const message = await (await bus().manager()).streams.getMessage(streams.events, { seq: position.seq - base })
    return message.json<Event>().id === position.id
  }

  /** The place to go on after, in the stream as it is now; reports a loss. */
  const place = async (extent: Extent): Promise<number> => {
    const { base, first, last } = extent
    if (!position) return Math.max(first - 1, last - before)
    const isSame = position.base === base && last >= position.seq && first <= position.seq + 1
    if (isSame && (await isInPlace(extent))) return position.seq
    const wasForgotten = position.base === base && first <= position.seq + 1
    const seq = wasForgotten ? last : first - 1
    lost(seq)
    return seq
  }

  const follow = async () => {
    isStale = false
    const extent = await streamExtent()
    const seq = await place(extent)
    if (!position) lost(seq)
    position = seq === position?.seq ? position : { base: extent.base, seq }
    const consumer = await consumerFrom(extent, seq + 1)
    // The stream may have been made anew in between.
    if ((await streamExtent()).base !== extent.base) return
    if (seq >= extent.last) ready.resolve()
    await read(consumer, extent)
  }

  const read = async (consumer: Consumer, extent: Extent) => {
    let delivered = 0
    let checked = Date.now()
    while (!stopped && !isStale) {
      fetched = await consumer.fetch({ max_messages: batch, expires: pullMs })
      const before = delivered
      for await (const message of fetched) {
        // A gap in the delivery is a lost message: read again from there.
        if (message.info.deliverySequence !== ++delivered) return
        const next = placed(message, extent.base)
        // A gap in the stream: the events in it are no longer kept.
        if (next.seq !== position!.seq + 1) return
        position = { base: extent.base, seq: next.seq, id: next.event.id }
        event(next)
        if (next.seq >= extent.last) ready.resolve()
      }
      // A message that arrived as the pull ended is lost, and no later message may come to show the gap.
      const hasEndedEarly = delivered > before && delivered - before < batch
      if (!hasEndedEarly && Date.now() - checked < pullMs / 2) continue
      checked = Date.now()
      const { seq } = position!
      const { base, last } = await streamExtent()
      if (base !== extent.base || last < seq) return
      if (last > seq && (await isMissed(consumer, delivered))) return
    }
  }

  /** Checks that the consumer has delivered more messages than have arrived. */
  const isMissed = async (consumer: Consumer, delivered: number) =>
    (await consumer.info()).delivered.consumer_seq > delivered

  const run = async () => {
    while (!stopped) {
      try {
        await follow()
      } catch (error) {
        if (stopped) return
        log('events').debug({ err: error as Error }, 'the event stream does not answer')
        await delay(250)
        await ensureStreams().catch(() => undefined)
      }
    }
  }
  void run()
  return {
    ready: ready.promise,
    stop: () => {
      stopped = true
      stopWatching()
      void fetched?.close()
    },
  }
}

/**
 * The events after a place, in batches, up to the end of the stream as it is now. The reader may stop at any time.
 * @throws when the stream does not go back so far, or no longer does
 */
export async function* eventsAfter(seq: number): AsyncGenerator<Placed[]> {
  const extent = await streamExtent()
  if (seq + 1 < extent.first) throw new Error(`The stream begins at ${extent.first}, after ${seq}`)
  let at = seq
  const consumer = await consumerFrom(extent, at + 1)
  try {
    while (at < extent.last) {
      const found: Placed[] = []
      const messages = await consumer.fetch({ max_messages: batch, expires: 1000 })
      for await (const message of messages) {
        const next = placed(message, extent.base)
        const expected = (found.at(-1)?.seq ?? at) + 1
        if (next.seq !== expected) throw new Error(`The stream holds ${next.seq} after ${expected - 1}`)
        found.push(next)
        if (found.length === batch || found.at(-1)!.seq >= extent.last) break
      }
      if (found.length === 0) return
      at = found.at(-1)!.seq
      yield found
    }
  } finally {
    await consumer.delete().catch(() => undefined)
  }
}

import type { ServiceBroker } from 'moleculer'
import { bus, busIsBackForMs, isBusConnected, onBusChange } from '#shared/bus/bus.ts'
import { topics } from '#shared/contracts/core/events.ts'
import { type Filter, findAll, update } from '#shared/db/commands.ts'
import type { Stored, StoredModel } from '#shared/db/model.ts'
import { sweepRemovals } from '#shared/db/removals.ts'
import { filled } from '#shared/db/resource-changes.ts'
import { publish } from '#shared/events/publish.ts'
import { log } from '#shared/runtime/log.ts'
import { every } from '#shared/runtime/repeat.ts'

/**
 * Publishes the events in a document's outbox, oldest first, and removes them from it. Events that another replica wrote
 * before are published too, so that the events of one document reach the stream in the order of its changes.
 */
export async function flush(model: StoredModel, document: Stored): Promise<void> {
  const { _id, outbox = [] } = document
  if (outbox.length === 0) return
  for (const event of outbox) await publish(filled(event, model, document))
  const ids = outbox.map(({ id }) => id)
  await update(model, { _id }, { $pull: { outbox: { id: { $in: ids } } } })
}

/** Publishes the events of documents that are about to be removed. @throws UnavailableError */
export async function flushAll(model: StoredModel, filter: Record<string, unknown>): Promise<void> {
  const left = await findAll(model, { $and: [filter, { 'outbox.id': { $gt: '' } }] })
  for (const document of left) await flush(model, document)
}

/** Publishes in the background; events that do not get through stay in the outbox for the sweep. */
export function flushSoon(model: StoredModel, document: Stored): void {
  flush(model, document).catch((error: Error) => {
    sweepSoon(model)
    log('events').debug({ err: error }, 'left in the outbox for now')
  })
}

const swept = new Set<StoredModel>()
/** Models whose outboxes may hold unpublished events: the next sweep reads them. */
const waiting = new Set<StoredModel>()

/** Has a model's outboxes swept by this process. */
export const sweepOutboxOf = (model: StoredModel) => void swept.add(model)

/** Has the outboxes of a model looked at by the next sweep, as after a write whose outcome is unknown. */
export const sweepSoon = (model: StoredModel) => void waiting.add(model)

function sweepAllSoon(): void {
  for (const model of swept) waiting.add(model)
}

const retryEveryMs = 3000
/** After the bus was away, sweeps that often: its streams may answer later than the server does. */
const catchUp = { everyMs: 400, forMs: 2500 }
/** Sweeps all outboxes this often, as a fallback. */
const sweepAllEveryMs = 30_000

/**
 * Publishes events that a crash or an outage left in the outboxes. A sweep is due at the start, after a failed flush, when
 * the bus is back and when another process has left the bus: it may have died between its write and its publish.
 * @returns a function that stops it
 */
export function sweepOutboxes(broker: ServiceBroker): () => void {
  let triedAt = -Infinity
  let sweptAllAt = performance.now()
  sweepAllSoon()
  const onGone = () => {
    sweepAllSoon()
    // Its last write may still be on its way to the store.
    setTimeout(sweepAllSoon, retryEveryMs).unref()
  }
  broker.localBus.on('$node.disconnected', onGone)
  const stopWatching = onBusChange((change) => change === 'back' && sweepAllSoon())
  const turn = async () => {
    const now = performance.now()
    if (now - sweptAllAt >= sweepAllEveryMs) {
      sweptAllAt = now
      sweepAllSoon()
    }
    const isCatchingUp = isBusConnected() && busIsBackForMs() < catchUp.forMs
    if (waiting.size === 0 || now - triedAt < (isCatchingUp ? catchUp.everyMs : retryEveryMs)) return
    triedAt = now
    await sweep()
  }
  const stop = every(catchUp.everyMs, turn, { part: 'events', failed: 'outboxes could not be swept' })
  return () => {
    broker.localBus.off('$node.disconnected', onGone)
    stopWatching()
    stop()
  }
}

async function sweep(): Promise<void> {
  await sweepRemovals(swept)
  for (const model of waiting) {
    waiting.delete(model)
    try {
      const left = await findAll(model, { 'outbox.id': { $gt: '' }, ...ofOwnTopics() }, { limit: sweptAtOnce })
      for (const document of left) await flush(model, document)
      if (left.length === sweptAtOnce) waiting.add(model)
    } catch (error) {
      waiting.add(model)
      throw error
    }
  }
}

/**
 * Leaves out documents with events that this process may not publish, such as those of another service's operations: its own
 * replicas sweep them. NATS would refuse them, and all documents behind them would wait.
 */
function ofOwnTopics(): Filter {
  const { emits } = bus()
  return emits ? { 'outbox.topic': { $nin: topics.filter((topic) => !emits.includes(topic)) } } : {}
}

const sweptAtOnce = 500

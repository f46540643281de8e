import { busIsBackForMs, isBusConnected } from '#shared/bus/bus.ts'
import { update } from '#shared/db/commands.ts'
import { inStore } from '#shared/db/connect.ts'
import type { Stored, StoredModel } from '#shared/db/model.ts'
import { publish } from '#shared/events/publish.ts'
import { log } from '#shared/runtime/log.ts'
import { every } from '#shared/runtime/repeat.ts'

/**
 * Publishes what a document's outbox holds, oldest first, and takes it out. The whole outbox is sent, also what another
 * replica wrote before: so the events of one document reach the stream in the order of its changes.
 */
export async function flush(model: StoredModel, document: Stored): Promise<void> {
  const { _id, outbox = [] } = document
  if (outbox.length === 0) return
  for (const event of outbox) await publish(event)
  const ids = outbox.map(({ id }) => id)
  await update(model, { _id }, { $pull: { outbox: { id: { $in: ids } } } })
}

/** Publishes what documents that are about to be removed still have to tell. @throws UnavailableError */
export async function flushAll(model: StoredModel, filter: Record<string, unknown>): Promise<void> {
  const left = await inStore(() =>
    model.find({ $and: [filter, { 'outbox.id': { $gt: '' } }] } as never).lean<Stored[]>(),
  )
  for (const document of left) await flush(model, document)
}

/** Publishes in the background; what does not get through stays in the outbox for the sweep. */
export function flushSoon(model: StoredModel, document: Stored): void {
  flush(model, document).catch((error: Error) => log('events').debug({ err: error }, 'left in the outbox for now'))
}

const swept = new Set<StoredModel>()

/** Has a model's outboxes swept by this process. */
export const sweepOutboxOf = (model: StoredModel) => swept.add(model)

const sweepEveryMs = 3000
/** Once the bus is back, so often until all must have been told; its streams may answer later than it does. */
const catchUp = { everyMs: 400, forMs: 2500 }

/** Publishes what a crash or a lost bus left behind, every few seconds. @returns a function that stops it */
export function sweepOutboxes(): () => void {
  let sweptAt = performance.now()
  const isDue = () => {
    const isCatchingUp = isBusConnected() && busIsBackForMs() < catchUp.forMs
    return performance.now() - sweptAt >= (isCatchingUp ? catchUp.everyMs : sweepEveryMs)
  }
  const turn = async () => {
    if (!isDue()) return
    sweptAt = performance.now()
    await sweep()
  }
  return every(catchUp.everyMs, turn, { part: 'events', failed: 'outboxes could not be swept' })
}

async function sweep(): Promise<void> {
  for (const model of swept) {
    const left = await inStore(() =>
      model
        .find({ 'outbox.id': { $gt: '' } } as never)
        .limit(500)
        .lean<Stored[]>(),
    )
    for (const document of left) await flush(model, document)
  }
}

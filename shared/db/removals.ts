import { Type } from 'typebox'
import { strict, Time } from '#shared/contracts/common.ts'
import type { Event } from '#shared/contracts/core/events.ts'
import { findAll, findOne, insert, removeOne } from '#shared/db/commands.ts'
import { modelOf, type Stored, storedAs, type StoredModel } from '#shared/db/model.ts'
import { changeEvent, filled, type Recipients } from '#shared/db/resource-changes.ts'
import { now } from '#shared/events/event.ts'
import { publish } from '#shared/events/publish.ts'
import { log } from '#shared/runtime/log.ts'

/**
 * Events of records that are being removed: a removed record has no outbox. A removal is stored before the record goes, and
 * deleted when its event is published, so that a crash in between loses no event.
 */
export const removals = modelOf(
  'removals',
  strict({
    id: Type.String({ description: 'Id of the event' }),
    of: Type.String({ description: 'Collection of the record' }),
    record: Type.String(),
    event: Type.Unsafe<Event>(Type.Unknown()),
    at: Time,
  }),
  [{ fields: { of: 1, at: 1 } }],
)

type Removal = { _id: string; of: string; record: string; event: Event }

/** Has the removal of records told. @returns the number of removed records */
export async function withRemovals(
  model: StoredModel,
  documents: Stored[],
  to: Recipients,
  remove: () => Promise<number>,
): Promise<number> {
  const pending: Removal[] = documents.map((document) => {
    const event = filled(changeEvent('deleted', to), model, document)
    return { _id: event.id, of: model.modelName, record: document._id, event }
  })
  for (const one of pending) await insert(removals, { ...one, version: 1, at: now() })
  const removed = await remove()
  // Before the answer: the event of a record that is made anew under the same id comes after it.
  for (const one of pending)
    await settle(model, one).catch((error: Error) =>
      log('events').debug({ err: error }, 'left to the sweep of removals'),
    )
  return removed
}

/** Publishes the event of a record that is gone. One that is still there was not removed: nothing is told. */
async function settle(model: StoredModel, { _id, record, event }: Removal): Promise<void> {
  if (!(await findOne(model, { _id: record }))) await publish(event)
  await removeOne(removals, { _id })
}

/** A removal of this age is no longer being carried out. Milliseconds. */
const settledMs = 60_000
const sweptAtOnce = 500

/** Settles removals that a crash left. @param models the models of this process */
export async function sweepRemovals(models: Iterable<StoredModel>): Promise<void> {
  const byName = new Map([...models].map((model) => [model.modelName, model]))
  const before = new Date(Date.now() - settledMs).toISOString()
  const filter = { of: { $in: [...byName.keys()] }, at: { $lt: before } }
  for (const found of await findAll(removals, filter, { limit: sweptAtOnce })) {
    const removal = storedAs<Removal>(found)
    await settle(byName.get(removal.of)!, removal)
  }
}

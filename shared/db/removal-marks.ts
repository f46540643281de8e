import { Type } from 'typebox'
import { strict, Time } from '#shared/contracts/common.ts'
import { findOne, insertIfNew, removeAll } from '#shared/db/commands.ts'
import { modelOf } from '#shared/db/model.ts'
import { now } from '#shared/events/event.ts'
import { idOfSeed } from '#shared/ids.ts'
import { every } from '#shared/runtime/repeat.ts'
import { requestContext } from '#shared/runtime/request-context.ts'

/**
 * Marks of removals. A removed record can carry no mark of the call that removed it, so the mark stands beside it: a plain
 * DELETE that is repeated, because its answer was lost, finds that it was done.
 */
const markModel = modelOf('removal_marks', strict({ id: Type.String(), at: Time }), [{ fields: { at: 1 } }], {
  hasEvents: false,
})

/** As long as the gateway keeps idempotency keys. Milliseconds. */
const keptMs = 24 * 3_600_000
const sweepEveryMs = 600_000

const idOf = (seed: string) => idOfSeed(seed, 'removal')

/** Marks that this call is about to remove a record, if it is a plain DELETE. */
export async function markRemoval(): Promise<void> {
  const call = requestContext()?.idempotency
  if (call?.marksRemovals) await insertIfNew(markModel, { _id: idOf(call.seed), at: now() })
}

/** True if an earlier try of the call with this seed was about to remove a record. */
export const hasRemoved = async (seed: string): Promise<boolean> =>
  (await findOne(markModel, { _id: idOf(seed) })) !== null

/** Deletes old marks now and then. @returns a function that stops it */
export const sweepRemovalMarks = (): (() => void) =>
  every(sweepEveryMs, () => removeAll(markModel, { at: { $lt: new Date(Date.now() - keptMs).toISOString() } }), {
    part: 'store',
    failed: 'old marks of removals were not deleted',
  })

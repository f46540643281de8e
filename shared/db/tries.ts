import { Type } from 'typebox'
import type { TryRecord } from '#shared/bus/tries.ts'
import { strict, Time } from '#shared/contracts/common.ts'
import { findOne, removeAll, update } from '#shared/db/commands.ts'
import { modelOf } from '#shared/db/model.ts'
import { now } from '#shared/events/event.ts'
import { every } from '#shared/runtime/repeat.ts'

const StoredTry = strict({ id: Type.String(), number: Type.Integer(), at: Time })
const tryModel = modelOf('tries', StoredTry, [{ fields: { at: 1 } }], { hasEvents: false })

/** Longer than any call waits, and than a process may be stopped with a call that its sender's clock lets pass. Milliseconds. */
const keptMs = 3_600_000
const sweepEveryMs = 600_000

/** The record of tries in the store. A call has one sender at a time, so its numbers only go up. */
export const storedTries: TryRecord = {
  raise: async (call, number) => {
    await update(tryModel, { _id: call }, { $set: { number, at: now() } }, { upsert: true })
  },
  highest: async (call) => (await findOne<{ number: number }>(tryModel, { _id: call }))?.number ?? 0,
}

/** Deletes old records of tries now and then. @returns a function that stops it */
export const sweepTries = (): (() => void) =>
  every(sweepEveryMs, () => removeAll(tryModel, { at: { $lt: new Date(Date.now() - keptMs).toISOString() } }), {
    part: 'store',
    failed: 'old records of tries were not deleted',
  })

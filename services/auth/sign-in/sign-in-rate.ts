import { Type } from 'typebox'
import { strict, Time, Version } from '#shared/contracts/common.ts'
import { inStore } from '#shared/db/connect.ts'
import { modelOf, storedAs } from '#shared/db/model.ts'
import { now } from '#shared/events/event.ts'

/** How often an address has tried to sign in in the minute that began with its first try; `id` is the address. */
const SignInRate = strict({ id: Type.String(), count: Type.Integer(), until: Time, version: Version })
const model = modelOf('sign_in_rates', SignInRate, [{ fields: { until: 1 } }])

const minuteMs = 60_000

/** Counts a try over all gateways. @returns how many there were in this minute, and the seconds that are left of it */
export async function countSignInAttempt(address: string): Promise<{ count: number; reset_seconds: number }> {
  const time = Date.now()
  const isOver = { _id: address, until: { $lte: new Date(time).toISOString() } }
  const first = { $set: { count: 1, until: new Date(time + minuteMs).toISOString() }, $inc: { version: 1 } }
  const after = { returnDocument: 'after' } as const
  const countOne = () =>
    model
      .findOneAndUpdate(
        { _id: address, until: { $gt: new Date(time).toISOString() } } as never,
        { $inc: { count: 1, version: 1 } } as never,
        after,
      )
      .lean()
  const found = await inStore(
    async () =>
      (await countOne()) ??
      // Of several that begin the minute at once, all but one meet a duplicate and count after it.
      (await model
        .findOneAndUpdate(isOver as never, first as never, { ...after, upsert: true })
        .lean()
        .catch(countOne)),
  )
  const { count, until } = storedAs<{ count: number; until: string }>(found)
  // Who came before the first may be counted after it.
  const leftMs = Math.min(minuteMs, Date.parse(until) - time)
  return { count, reset_seconds: Math.max(1, Math.ceil(leftMs / 1000)) }
}

export const sweepSignInRates = () => inStore(() => model.deleteMany({ until: { $lt: now() } } as never))

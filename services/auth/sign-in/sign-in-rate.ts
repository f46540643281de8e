import { Type } from 'typebox'
import { strict, Time, Version } from '#shared/contracts/common.ts'
import { findAndUpdate, removeAll } from '#shared/db/guarded.ts'
import { modelOf } from '#shared/db/model.ts'
import { now } from '#shared/events/event.ts'

/** Sign-in attempts of an address within a minute; `id` is the address. The minute starts with the first attempt. */
const SignInRate = strict({ id: Type.String(), count: Type.Integer(), until: Time, version: Version })
const model = modelOf('sign_in_rates', SignInRate, [{ fields: { until: 1 } }])

const minuteMs = 60_000

type Counted = { count: number; until: string }

/** Counts a sign-in attempt over all gateways. @returns the attempts in this minute, and the seconds left of it */
export async function countSignInAttempt(address: string): Promise<{ count: number; reset_seconds: number }> {
  const time = Date.now()
  const isOver = { _id: address, until: { $lte: new Date(time).toISOString() } }
  const first = { $set: { count: 1, until: new Date(time + minuteMs).toISOString() }, $inc: { version: 1 } }
  const another = { _id: address, until: { $gt: new Date(time).toISOString() } }
  const countOne = () => findAndUpdate<Counted>(model, another, { $inc: { count: 1, version: 1 } })
  const found =
    (await countOne()) ??
    // If several replicas start the minute at once, all but one get a duplicate key error and count after it.
    (await findAndUpdate<Counted>(model, isOver, first, { upsert: true }).catch(countOne))
  const { count, until } = found!
  // An attempt with an earlier clock may be counted after the first one, hence the minimum.
  const leftMs = Math.min(minuteMs, Date.parse(until) - time)
  return { count, reset_seconds: Math.max(1, Math.ceil(leftMs / 1000)) }
}

export const sweepSignInRates = () => removeAll(model, { until: { $lt: now() } })

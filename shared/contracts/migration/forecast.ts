import { type Static, Type } from 'typebox'
import type { Unit } from '#shared/contract/hints.ts'
import { nullable, strict } from '#shared/contracts/common.ts'

const rangeOf = (unit: Unit) => {
  const number = Type.Number({ 'x-unit': unit })
  return { low: number, median: number, high: number }
}

/** An estimate of a migration of a guest that runs, made before it begins. */
export const Forecast = strict({
  seconds: Type.Object(rangeOf('seconds'), { additionalProperties: false, description: 'Of the transfer' }),
  pause_ms: strict(rangeOf('milliseconds')),
  bytes: Type.Object(rangeOf('bytes'), {
    additionalProperties: false,
    description: 'Of memory and disks that are sent',
  }),
  points: Type.Object(
    { seconds: Type.Number(), pause_ms: Type.Number(), bytes: Type.Number() },
    { additionalProperties: false, description: 'By arithmetic alone, before earlier outcomes correct it' },
  ),
  convergence: Type.Enum(['yes', 'uncertain', 'no'], {
    description: 'no: memory changes faster than it can be sent, so that no pause as short as wanted is reached',
  }),
  iterations: Type.Integer({ description: 'Times that memory is sent, by the median' }),
  residual_bytes: Type.Integer({ description: 'Memory that is left to send during the pause, by the median' }),
  dirty_bytes_per_second: nullable(
    Type.Integer({
      description: 'Memory that the guest changed within one second, by sampled pages; null: not measured',
    }),
  ),
  bandwidth_mib_s: Type.Number(),
  bandwidth_source: Type.Enum(['limit', 'measured'], {
    description: 'measured: earlier migrations between these nodes did not reach the limit',
  }),
  samples: Type.Integer({
    description: 'Earlier migrations whose outcomes made the ranges; 0: the ranges are a guess',
  }),
})
export type Forecast = Static<typeof Forecast>

/** Comparison of forecasts and outcomes of completed migrations. */
export const ForecastQuality = strict({
  compared: Type.Integer({ description: 'Completed migrations with a forecast and measured numbers' }),
  seconds_within: Type.Integer({ description: 'Those whose time was within the range' }),
  pause_within: Type.Integer(),
  bytes_within: Type.Integer(),
  median_seconds_ratio: nullable(Type.Number({ description: 'Outcome divided by the median of the forecast' })),
})
export type ForecastQuality = Static<typeof ForecastQuality>

/** Memory of a guest, for a forecast. */
export const MemoryProbe = strict({
  memory_mib: Type.Integer(),
  used_mib: nullable(Type.Number({ description: 'Memory that its process has on its node' })),
  dirty_mib_per_second: nullable(
    Type.Number({ description: 'Changed within one second; null when it cannot be measured' }),
  ),
})
export type MemoryProbe = Static<typeof MemoryProbe>

import { type Static, Type } from 'typebox'
import { oneOf, strict, Time } from '#shared/contracts/common.ts'

const Hour = Type.Integer({ minimum: 0, maximum: 23 })

/** Frequency of the runs of a schedule or job, in its time zone. */
export const Frequency = Type.Union([
  Type.Literal('hourly'),
  strict({ daily: strict({ hour: Hour }) }),
  strict({
    weekly: strict({ day: Type.Integer({ minimum: 0, maximum: 6, description: '0 is Sunday' }), hour: Hour }),
  }),
  strict({
    monthly: strict({
      day: Type.Integer({ minimum: 1, maximum: 31, description: "Past the month's end it is the last day" }),
      hour: Hour,
    }),
  }),
  strict({
    custom: strict({
      cron: Type.String({ minLength: 1, maxLength: 200, description: 'Minute, hour, day, month, weekday' }),
    }),
  }),
])
export type Frequency = Static<typeof Frequency>

export const Timezone = Type.String({
  minLength: 1,
  maxLength: 64,
  examples: ['Europe/Berlin'],
  pattern: '^[A-Za-z0-9_+/-]+$',
  description: 'Name of the tz database, such as Europe/Berlin',
  errorMessage: 'must be the name of a time zone, such as Europe/Berlin',
})
/** A run to come. */
export const Run = strict({
  at: Time,
  local: Type.String({ description: 'In the time zone, with the offset from UTC' }),
  daylight_saving: Type.Union([oneOf('begins', 'ends'), Type.Null()], {
    description: 'The clocks go forward, or back, between the run before and this one',
  }),
})
export type Run = Static<typeof Run>

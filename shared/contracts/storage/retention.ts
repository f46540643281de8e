import { type Static, Type } from 'typebox'
import { strict } from '#shared/contracts/common.ts'

const Count = Type.Integer({ minimum: 0, maximum: 1000, default: 0 })

/** The backups of one virtual machine that a job keeps of those that it has made. */
export const Retention = strict({
  last: Type.Integer({ ...Count, description: 'The newest ones' }),
  hourly: Type.Integer({ ...Count, description: 'The newest of an hour, of so many hours that have a backup' }),
  daily: Type.Integer({ ...Count, description: 'The newest of a day' }),
  weekly: Type.Integer({ ...Count, description: 'The newest of a week of ISO 8601' }),
  monthly: Type.Integer({ ...Count, description: 'The newest of a month' }),
  yearly: Type.Integer({ ...Count, description: 'The newest of a year' }),
})
export type Retention = Static<typeof Retention>

import { Type } from 'typebox'
import { Time } from '#shared/contracts/common.ts'
import { Schedule } from '#shared/contracts/vm/snapshot-schedules.ts'
import { collection } from '#shared/db/collection.ts'

/** `started`: the due time whose operation is being started; any replica starts it again until this is cleared. */
export const scheduleRecords = collection(
  'snapshot-schedules',
  Type.Object({ ...Schedule.properties, started: Type.Optional(Time) }),
  {
    kind: 'Snapshot schedule',
    resource: { path: '/api/snapshot-schedules/{id}', sees: 'VmAudit on /api/snapshot-schedules/{id}' },
    indexes: [{ fields: { vm_id: 1 } }, { fields: { next_run: 1 } }],
  },
)
export type ScheduleRecord = Awaited<ReturnType<typeof scheduleRecords.require>>

export const viewOf = ({ started: _, ...schedule }: ScheduleRecord): Schedule => schedule

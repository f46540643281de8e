import { Type } from 'typebox'
import { Time } from '#shared/contracts/common.ts'
import { ReplicationJob } from '#shared/contracts/storage/replication-jobs.ts'
import { collection } from '#shared/db/collection.ts'

export const jobRecords = collection(
  'replication-jobs',
  Type.Object({
    ...ReplicationJob.properties,
    started: Type.Optional(
      Type.String({
        ...Time,
        description: 'Due time whose run is being started; any replica does so until it is cleared',
      }),
    ),
  }),
  {
    kind: 'Replication job',
    resource: { path: '/api/replication/jobs/{id}', sees: 'VmAudit on /api/replication/jobs/{id}' },
    indexes: [{ fields: { next_run: 1 } }],
  },
)
export type JobRecord = Awaited<ReturnType<typeof jobRecords.require>>

export const viewOf = ({ started: _, ...job }: JobRecord): ReplicationJob => job
export const jobPathOf = (id: string) => `/api/replication/jobs/${id}`

import { Type } from 'typebox'
import { Id, Time } from '#shared/contracts/common.ts'
import { BackupJob } from '#shared/contracts/storage/backup-jobs.ts'
import { collection } from '#shared/db/collection.ts'

export const jobRecords = collection(
  'backup-jobs',
  Type.Object({
    ...BackupJob.properties,
    proof: Type.Optional(BackupJob.properties.proof),
    started: Type.Optional(
      Type.String({
        ...Time,
        description: 'Due time whose run is being started; any replica does so until it is cleared',
      }),
    ),
    stopping: Type.Optional(Type.String({ ...Id, description: 'The run that is to stop' })),
  }),
  {
    kind: 'Backup job',
    resource: { path: '/api/backup-jobs/{id}', sees: 'VmAudit on /api/backup-jobs/{id}' },
    indexes: [{ fields: { next_run: 1 } }],
  },
)
export type JobRecord = Awaited<ReturnType<typeof jobRecords.require>>

export const viewOf = ({ started: _, stopping: _s, ...job }: JobRecord): BackupJob => ({
  ...job,
  proof: job.proof ?? null,
})
export const jobPathOf = (id: string) => `/api/backup-jobs/${id}`

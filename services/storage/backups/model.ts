import { Type } from 'typebox'
import { Id, nullable } from '#shared/contracts/common.ts'
import { Backup } from '#shared/contracts/storage/backups.ts'
import { collection } from '#shared/db/collection.ts'
import { convertDocuments } from '#shared/db/convert-documents.ts'

const ofVm = { kind: 'vm' as const, container_id: null, container_name: null, container: null }

export const backupRecords = collection(
  'backups',
  Type.Object({
    ...Backup.properties,
    boot: Type.Optional(Backup.properties.boot),
    node: Type.String({ ...Id, description: 'The node that the VM or container was on' }),
    manifest: Type.Union([Type.String(), Type.Null()], {
      description: 'Key of the manifest; null until it is written',
    }),
    manifest_sha256: nullable(Type.String()),
    snapshot: Type.Optional(Type.String({ description: 'Snapshot of the VM that is still to be deleted' })),
  }),
  {
    kind: 'Backup',
    // Of versions that had backups of virtual machines only.
    migrate: convertDocuments({ where: { kind: { $exists: false } }, convert: () => ofVm }),
    resource: { path: '/api/backups/{id}', sees: 'VmAudit on /api/backups/{id}' },
    indexes: [
      { fields: { vm_id: 1 } },
      { fields: { container_id: 1 } },
      { fields: { pool: 1 } },
      { fields: { job_id: 1 } },
    ],
  },
)
export type BackupRecord = Awaited<ReturnType<typeof backupRecords.require>>

export const viewOf = ({
  node: _,
  manifest: _m,
  manifest_sha256: _h,
  snapshot: _s,
  ...backup
}: BackupRecord): Backup => ({ ...backup, boot: backup.boot ?? null })

export const apiPathOf = (id: string) => `/api/backups/${id}`
/** Backups share it; a garbage collection holds it. */
export const storePathOf = (pool: string) => `/api/backup-stores/${pool}`

/** The VM or container that a backup is of. */
export const subjectOf = ({ vm_id, container_id }: Pick<Backup, 'vm_id' | 'container_id'>): string =>
  vm_id === null ? `container ${container_id}` : `vm ${vm_id}`

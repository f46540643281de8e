import { type Static, Type } from 'typebox'
import { contract } from '#shared/contract/contract.ts'
import { Done, Id, nullable, oneOf, Page, record, strict, Time } from '#shared/contracts/common.ts'

/** Largest part of a download in one call: the bus carries 1 MiB, and Base64 adds a third. */
export const filePartBytes = 512 * 1024

/** The route of a download below `/api`: its answer is a file, so the gateway serves it by itself. */
export const fileDownloadRoute = '/backups/{id}/files/{volume}/download'

const VolumeId = Type.String({
  pattern: '^[A-Za-z0-9_.+-]{1,255}$',
  description: 'A volume on the disks, such as vda1; root and volume-1 of a container',
  examples: ['vda1'],
  errorMessage: 'must be the id of a volume, such as vda1',
})
const FilePath = Type.String({
  maxLength: 4096,
  examples: ['/etc/fstab'],
  description:
    'Absolute path on the volume. `%` and two digits stand for a byte, as for those that are no UTF-8; `%25` for a `%`',
})

const FileVolume = strict({
  id: VolumeId,
  disk: nullable(Type.String({ description: 'The disk that it is on; null for a logical volume' })),
  partition: nullable(Type.Integer({ description: 'Its number; null for a whole disk or a logical volume' })),
  type: nullable(Type.String({ description: 'Of the file system, such as ext4, or of what else it has' })),
  label: nullable(Type.String()),
  uuid: nullable(Type.String()),
  size_bytes: Type.Integer(),
  readable: Type.Boolean({ description: 'Its files can be listed' }),
  reason: nullable(Type.String({ description: 'Why they cannot' })),
})
export type FileVolume = Static<typeof FileVolume>

export const FileKind = oneOf('file', 'folder', 'link', 'device', 'fifo', 'socket', 'other')

const FileEntry = record('name kind size_bytes modified_at mode path')({
  name: Type.String({ description: 'To be read by people; what is no UTF-8 is replaced' }),
  path: Type.String({ description: 'To be asked for' }),
  kind: FileKind,
  mode: Type.String({ description: 'Permissions in octal digits' }),
  uid: Type.Integer(),
  gid: Type.Integer(),
  size_bytes: Type.Integer(),
  modified_at: nullable(Time),
  target: nullable(Type.String({ description: 'Of a link, which is not followed' })),
})
export type FileEntry = Static<typeof FileEntry>

const Timeout = Type.Integer({
  minimum: 1,
  maximum: 120,
  default: 60,
  'x-unit': 'seconds',
  description: 'Time to wait for the guest that reads the disks',
})

const OpenedFiles = strict({
  download_id: Type.String(),
  replica: Type.String({ description: 'The process that has the guest' }),
  filename: Type.String(),
  size_bytes: nullable(Type.Integer({ description: 'Of a single file; an archive has no size before its end' })),
})
export type OpenedFiles = Static<typeof OpenedFiles>

/** Beside the gateway, the service that makes containers of backups. */
const toClient = { can: 'service', callers: ['gateway', 'container'] } as const
const DownloadId = { download_id: Type.String({ maxLength: 64 }) }
// As for a restore: it has the data of a guest.
const can = 'VmBackup on /api/backups/{id}' as const

/**
 * Files on the disks of a backup. A guest without a network reads them, never the kernel of a host. Files of a container are
 * in archives, which need no guest.
 */
export const backupFiles = contract('backup-files', {
  volumes: {
    does: 'List the file systems on the disks of a backup, or the archives of a backup of a container',
    rest: 'GET /backups/{id}/files',
    can,
    params: strict({ id: Id, timeout: Timeout }),
    result: strict({
      id: Id,
      volumes: Type.Array(FileVolume),
      problems: Type.Array(Type.String(), { description: 'What cannot be read, in words' }),
    }),
    computed: true,
  },
  list: {
    does: 'List a folder on a disk of a backup',
    rest: 'GET /backups/{id}/files/{volume}',
    can,
    params: strict({
      id: Id,
      volume: VolumeId,
      path: Type.String({ ...FilePath, default: '/' }),
      cursor: Type.Optional(Type.String({ maxLength: 1024 })),
      limit: Type.Integer({ minimum: 1, maximum: 1000, default: 200 }),
      timeout: Timeout,
    }),
    result: Page(FileEntry),
  },
  open: {
    does: 'Begin to read a file or a folder of a backup',
    can,
    params: strict({
      id: Id,
      volume: VolumeId,
      path: FilePath,
      format: Type.Enum(['tar', 'raw'], { default: 'tar', description: 'raw: the bytes of a single file' }),
    }),
    result: OpenedFiles,
  },
  read: {
    does: 'Read the next part, of the replica that has the guest',
    ...toClient,
    params: strict({
      ...DownloadId,
      offset: Type.Integer({ minimum: 0, description: 'Where the last part has ended' }),
    }),
    result: strict({ data: Type.String({ description: 'Base64' }), is_end: Type.Boolean() }),
  },
  close: { does: 'End a download', ...toClient, params: strict(DownloadId), result: Done },
})

import { type Static, Type } from 'typebox'
import { contract } from '#shared/contract/contract.ts'
import { Done, Id, nullable, strict } from '#shared/contracts/common.ts'
import { VolumeFormat } from '#shared/contracts/storage/pools.ts'
import { oneVolume } from '#shared/contracts/storage/volumes.ts'

/** Largest part of a download in one call: the bus carries 1 MiB, and Base64 adds a third. */
export const downloadPartBytes = 512 * 1024

/** The route of a download below `/api`: its answer is a file, so the gateway serves it by itself. */
export const downloadRoute = '/storage/pools/{id}/volumes/{volume}/download'

/** Query of a download, beside the volume. */
export const DownloadQuery = {
  format: Type.Enum([...VolumeFormat.enum], { default: 'raw', description: 'Format of the file' }),
  snapshot: Type.Optional(
    Type.String({ ...Id, description: 'Snapshot of the VM that the volume belongs to; also while it runs' }),
  ),
}

const Opened = strict({
  download_id: Type.String(),
  replica: Type.String({ description: 'The process that has the image open' }),
  size_bytes: Type.Integer({ description: 'Of the file' }),
  owner: nullable(Type.String({ description: 'Path of the VM whose data it is' })),
  tag: Type.String({ description: 'Changes with the content; the strong ETag' }),
})
export type OpenedDownload = Static<typeof Opened>

const toGateway = { can: 'service', callers: ['gateway'] } as const
const DownloadId = { download_id: Type.String({ maxLength: 64 }) }

/** The content of volumes as a file, which the gateway reads in parts. */
export const volumeDownloads = contract('volume-downloads', {
  open: {
    does: 'Begin to read the content of a volume as a file',
    can: 'DatastoreAllocate on /api/storage/pools/{id}',
    params: strict({ ...oneVolume, ...DownloadQuery }),
    result: Opened,
  },
  read: {
    does: 'Read a part of the file, of the replica that has it open',
    ...toGateway,
    params: strict({
      ...DownloadId,
      offset: Type.Integer({ minimum: 0, 'x-unit': 'bytes' }),
      length: Type.Integer({ minimum: 1, maximum: downloadPartBytes, 'x-unit': 'bytes' }),
      is_last: Type.Boolean({ description: 'The content is checked for changes once more after this part' }),
    }),
    result: strict({ data: Type.String({ description: 'Base64' }) }),
  },
  close: {
    does: 'End a download',
    ...toGateway,
    params: strict(DownloadId),
    result: Done,
  },
})

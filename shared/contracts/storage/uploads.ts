import { type Static, Type } from 'typebox'
import { contract } from '#shared/contract/contract.ts'
import { Done, Id, ListQuery, oneOf, Page, record, strict, Time, Version } from '#shared/contracts/common.ts'
import { VolumeFormat } from '#shared/contracts/storage/pools.ts'
import { diskBytes, GivenFormat, Volume, VolumeName } from '#shared/contracts/storage/volumes.ts'

/** Formats of files that become volumes. */
export const FileFormat = oneOf('raw', 'qcow2', 'vmdk', 'vdi', 'vhdx', 'ova')
export type FileFormat = Static<typeof FileFormat>

const Sha256 = Type.String({
  examples: ['e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'],
  pattern: '^[0-9a-f]{64}$',
  errorMessage: 'must be a SHA-256 in 64 lower-case digits',
})
/** A file beside a descriptor: no path. */
export const FileName = Type.String({
  examples: ['web-disk001.vmdk'],
  minLength: 1,
  maxLength: 255,
  pattern: '^[^/\\\\\\u0000]*$',
  errorMessage: 'must be the name of a file, without a path',
})
const DiskName = Type.String({ minLength: 1, maxLength: 255, description: 'Name of the disk in an OVA with several' })

export const Upload = record('name state pool received_bytes size_bytes expires_at id')({
  id: Type.String({ format: 'uuid' }),
  pool: Id,
  name: VolumeName,
  volume_format: VolumeFormat,
  format: Type.Union([FileFormat, Type.Null()]),
  disk: Type.Union([DiskName, Type.Null()]),
  size_bytes: Type.Integer({ description: 'Size of the file' }),
  sha256: Type.Union([Type.String(), Type.Null()]),
  received_bytes: Type.Integer({ description: 'The next part begins here' }),
  state: oneOf('receiving', 'completing'),
  expires_at: Type.String({ format: 'date-time', description: 'Then it is removed; every part moves it on' }),
  created_at: Time,
  updated_at: Time,
  version: Version,
})
export type Upload = Static<typeof Upload>

const oneUpload = { id: Id, upload: Type.String({ format: 'uuid' }) }
const path = '/storage/pools/{id}/uploads/{upload}' as const
const mayAllocate = 'DatastoreAllocate on /api/storage/pools/{id}' as const

/** The path of an upload, which operations on it hold. */
export const uploadPath = (pool: string, upload: string) => `/api/storage/pools/${pool}/uploads/${upload}`

/** Largest part of a file in one call: the bus carries 1 MiB, and Base64 adds a third. */
export const partBytes = 512 * 1024

/** Files that are sent in parts, and then become volumes. */
export const uploads = contract('uploads', {
  list: {
    does: 'List the uploads into a storage pool',
    rest: 'GET /storage/pools/{id}/uploads',
    can: 'DatastoreAudit on /api/storage/pools/{id}',
    params: Type.Object({ id: Id, ...ListQuery('name', 'state').properties }, { additionalProperties: false }),
    result: Page(Upload),
  },
  get: {
    does: 'Get an upload, with the place at which it goes on',
    rest: `GET ${path}`,
    can: 'DatastoreAudit on /api/storage/pools/{id}',
    params: strict(oneUpload),
    result: Upload,
  },
  create: {
    does: 'Begin the upload of a disk image, which becomes a volume',
    rest: 'POST /storage/pools/{id}/uploads',
    can: mayAllocate,
    audit: 'config_changed',
    status: 201,
    params: strict({
      id: Id,
      name: VolumeName,
      size: Type.Integer({
        minimum: 1,
        maximum: diskBytes.maximum,
        'x-unit': 'bytes',
        description: 'Bytes of the file',
      }),
      sha256: Type.Optional(Sha256),
      format: Type.Optional(
        Type.Enum([...FileFormat.enum], { description: 'Of the file; another one in its bytes is refused' }),
      ),
      disk: Type.Optional(DiskName),
      volume_format: GivenFormat,
      upload: Type.Optional(Type.String({ format: 'uuid', description: 'Id of the upload; made if not given' })),
    }),
    result: Upload,
  },
  write: {
    does: 'Write a part of an uploaded file',
    can: mayAllocate,
    params: strict({
      ...oneUpload,
      offset: Type.Integer({ minimum: 0, 'x-unit': 'bytes' }),
      writer: Type.String({ format: 'uuid', description: 'The request that sends parts; there is one at a time' }),
      part: Type.String({ maxLength: partBytes * 1.4, description: 'Base64; empty: this writer has ended' }),
    }),
    result: Upload,
  },
  complete: {
    does: 'Check an uploaded file and make a volume of it',
    rest: `POST ${path}/complete`,
    can: mayAllocate,
    operation: true,
    audit: 'volume_created',
    params: strict(oneUpload),
    result: strict({
      volume: Volume,
      format: FileFormat,
      sha256: Type.String({ description: 'Digest of the file' }),
    }),
  },
  delete: {
    does: 'Cancel an upload; nothing of it is left',
    rest: `DELETE ${path}`,
    can: mayAllocate,
    audit: 'config_changed',
    params: strict(oneUpload),
    result: Done,
    status: 204,
  },
})

import { type Static, Type } from 'typebox'
import { contract } from '#shared/contract/contract.ts'
import { Done, Id, SearchQuery, oneOf, SearchPage, record, strict, Time, Version } from '#shared/contracts/common.ts'
import { DiskPath, DiskSource } from '#shared/contracts/storage/disk-source.ts'
import { Figures, VolumeFormat } from '#shared/contracts/storage/pools.ts'

const GiB = 2 ** 30
export const diskBytes = { minimum: GiB, maximum: 10 * 1024 * GiB }
export const DiskSize = Type.Integer({
  ...diskBytes,
  multipleOf: 512,
  'x-unit': 'bytes',
  description: 'Bytes, 1 GiB to 10 TiB',
})

export const VolumeName = Type.String({
  examples: ['data'],
  pattern: '^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$',
  errorMessage: 'must have only letters, digits, . _ and -, at most 128, and begin with a letter or digit',
})

/** Format of a volume to be made. */
export const GivenFormat = Type.Optional(
  Type.Enum([...VolumeFormat.enum], { description: "The storage pool's default_format if not given" }),
)

/** `full`: an independent copy. `linked`: a copy on write, which reads unchanged blocks from the source. */
export const CloneMode = oneOf('full', 'linked')
export type CloneMode = Static<typeof CloneMode>

export const Volume = record('name format size_bytes used_by')({
  id: Type.String({ description: 'pool/name' }),
  pool: Id,
  name: VolumeName,
  node: Type.Union([Id, Type.Null()], { description: 'The node that reaches it; null: several do' }),
  source: DiskSource,
  path: DiskPath,
  format: VolumeFormat,
  size_bytes: Type.Integer({ description: 'Size of the disk in a guest' }),
  used_by: Type.Union([Type.String(), Type.Null()], {
    description: 'Path of the VM, or of the replica, that it belongs to',
  }),
  backing: Type.Union([Type.String(), Type.Null()], {
    description: 'Id of the volume from which a linked clone reads unchanged blocks; that one cannot change meanwhile',
  }),
  snapshots: Type.Integer({
    description: 'Snapshots of VMs that have a state of it; it cannot be deleted while there are any',
  }),
  created_at: Time,
  updated_at: Time,
  version: Version,
})
export type Volume = Static<typeof Volume>

/** Parameters that name one volume. */
export const oneVolume = { id: Id, volume: VolumeName }

export const volumes = contract('volumes', {
  list: {
    does: 'List the volumes of a storage pool',
    rest: 'GET /storage/pools/{id}/volumes',
    can: 'DatastoreAudit on /api/storage/pools/{id}',
    params: Type.Object(
      { id: Id, ...SearchQuery(Volume, ['name', 'format', 'used_by']).properties },
      { additionalProperties: false },
    ),
    result: SearchPage(Volume),
  },
  get: {
    does: 'Get a volume',
    rest: 'GET /storage/pools/{id}/volumes/{volume}',
    can: 'DatastoreAudit on /api/storage/pools/{id}',
    params: strict(oneVolume),
    result: Volume,
  },
  usage: {
    does: 'Measure the bytes that a volume takes',
    rest: 'GET /storage/pools/{id}/volumes/{volume}/usage',
    can: 'DatastoreAudit on /api/storage/pools/{id}',
    params: strict(oneVolume),
    result: Figures,
    computed: true,
  },
  create: {
    does: 'Create a volume',
    rest: 'POST /storage/pools/{id}/volumes',
    can: 'DatastoreAllocate on /api/storage/pools/{id}',
    operation: true,
    audit: 'volume_created',
    params: strict({
      id: Id,
      name: VolumeName,
      size: DiskSize,
      format: GivenFormat,
    }),
    result: Volume,
  },
  scan: {
    does: 'Make volumes of the image files that were put into a storage pool by other means',
    rest: 'POST /storage/pools/{id}/volumes/scan',
    can: 'DatastoreAllocate on /api/storage/pools/{id}',
    operation: true,
    audit: 'volume_created',
    params: strict({ id: Id }),
    result: strict({
      data: Type.Array(Volume, { description: 'The new volumes' }),
      skipped: Type.Array(strict({ name: Type.String(), reason: Type.String() })),
    }),
  },
  resize: {
    does: 'Grow a volume that no running VM uses',
    rest: 'POST /storage/pools/{id}/volumes/{volume}/resize',
    can: 'DatastoreAllocate on /api/storage/pools/{id}',
    operation: true,
    audit: 'config_changed',
    params: strict({ ...oneVolume, size: DiskSize }),
    result: Volume,
  },
  delete: {
    does: 'Delete a volume that belongs to no VM',
    rest: 'DELETE /storage/pools/{id}/volumes/{volume}',
    can: 'DatastoreAllocate on /api/storage/pools/{id}',
    operation: true,
    audit: 'volume_deleted',
    params: strict(oneVolume),
    result: Done,
  },
  clone: {
    does: 'Copy a volume that belongs to no VM, in full or as a linked clone',
    rest: 'POST /storage/pools/{id}/volumes/{volume}/clone',
    can: 'DatastoreAllocate on /api/storage/pools/{id}',
    operation: true,
    audit: 'volume_created',
    params: strict({
      ...oneVolume,
      name: VolumeName,
      mode: CloneMode,
      pool: Type.Optional(
        Type.String({ ...Id, description: 'Storage pool of a full clone; the same one if not given' }),
      ),
      format: Type.Optional(VolumeFormat),
    }),
    result: Volume,
  },
  move: {
    does: 'Move a volume that belongs to no VM; the copy is compared byte by byte before the source goes',
    rest: 'POST /storage/pools/{id}/volumes/{volume}/move',
    can: 'DatastoreAllocate on /api/storage/pools/{id}',
    operation: true,
    audit: 'config_changed',
    params: strict({
      ...oneVolume,
      pool: Type.String({ ...Id, description: 'Storage pool that it moves to; it may be the same one' }),
      name: Type.Optional(VolumeName),
      format: Type.Optional(VolumeFormat),
    }),
    result: Volume,
  },
})

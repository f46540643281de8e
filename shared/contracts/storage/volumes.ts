import { type Static, Type } from 'typebox'
import { contract } from '#shared/contract/contract.ts'
import { Done, Id, ListQuery, oneOf, Page, Path, strict, Time, Version } from '#shared/contracts/common.ts'
import { VolumeFormat } from '#shared/contracts/storage/pools.ts'

const GiB = 2 ** 30
export const diskBytes = { minimum: GiB, maximum: 10 * 1024 * GiB }
export const DiskSize = Type.Integer({
  ...diskBytes,
  multipleOf: 512,
  description: 'Bytes, 1 GiB to 10 TiB',
})

export const VolumeName = Type.String({
  pattern: '^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$',
  errorMessage: 'must have only letters, digits, . _ and -, at most 128, and begin with a letter or digit',
})

/** `full`: a copy of its own. `linked`: what is written goes to the clone, what is not is read from the source. */
export const CloneMode = oneOf('full', 'linked')
export type CloneMode = Static<typeof CloneMode>

export const Volume = strict({
  id: Type.String({ description: 'pool/name' }),
  pool: Id,
  name: VolumeName,
  node: Id,
  path: Path,
  format: VolumeFormat,
  size_bytes: Type.Integer({ description: 'What a guest sees' }),
  used_by: Type.Union([Type.String(), Type.Null()], { description: 'Path of the VM that it belongs to' }),
  backing: Type.Union([Type.String(), Type.Null()], {
    description: 'Id of the volume that a linked clone shares its bytes with; it cannot change while this one is there',
  }),
  created_at: Time,
  updated_at: Time,
  version: Version,
})
export type Volume = Static<typeof Volume>

const one = { id: Id, volume: VolumeName }

export const volumes = contract('volumes', {
  list: {
    does: 'List the volumes of a pool',
    rest: 'GET /storage/pools/{id}/volumes',
    can: 'DatastoreAudit on /api/storage/pools/{id}',
    params: Type.Object(
      { id: Id, ...ListQuery('name', 'format', 'used_by').properties },
      { additionalProperties: false },
    ),
    result: Page(Volume),
  },
  get: {
    does: 'Get a volume',
    rest: 'GET /storage/pools/{id}/volumes/{volume}',
    can: 'DatastoreAudit on /api/storage/pools/{id}',
    params: strict(one),
    result: Volume,
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
      format: Type.Enum(['qcow2', 'raw'], { default: 'qcow2' }),
    }),
    result: Volume,
  },
  resize: {
    does: 'Grow a volume that no running VM uses',
    rest: 'POST /storage/pools/{id}/volumes/{volume}/resize',
    can: 'DatastoreAllocate on /api/storage/pools/{id}',
    operation: true,
    audit: 'config_changed',
    params: strict({ ...one, size: DiskSize }),
    result: Volume,
  },
  delete: {
    does: 'Delete a volume that belongs to no VM',
    rest: 'DELETE /storage/pools/{id}/volumes/{volume}',
    can: 'DatastoreAllocate on /api/storage/pools/{id}',
    operation: true,
    audit: 'volume_deleted',
    params: strict(one),
    result: Done,
  },
  clone: {
    does: 'Copy a volume that belongs to no VM, in full or as a linked clone',
    rest: 'POST /storage/pools/{id}/volumes/{volume}/clone',
    can: 'DatastoreAllocate on /api/storage/pools/{id}',
    operation: true,
    audit: 'volume_created',
    params: strict({
      ...one,
      name: VolumeName,
      mode: CloneMode,
      pool: Type.Optional(
        Type.String({ ...Id, description: 'Where a full clone is to be; the same pool if not given' }),
      ),
      format: Type.Optional(VolumeFormat),
    }),
    result: Volume,
  },
  cloneFor: {
    does: 'Copy a volume of a VM into one of another VM',
    can: 'service',
    operation: true,
    audit: 'volume_created',
    params: strict({
      ...one,
      source_owner: Type.String(),
      mode: CloneMode,
      pool: Id,
      name: VolumeName,
      format: VolumeFormat,
      owner: Type.String(),
    }),
    result: Volume,
  },
  inspect: {
    does: 'Tell how large a disk an image on a node is, and how many bytes of data are in it',
    can: 'service',
    params: strict({ node: Id, path: Path }),
    result: strict({ size_bytes: Type.Integer(), data_bytes: Type.Integer() }),
  },
  importFor: {
    does: 'Make a volume of a VM that holds a copy of an image on the node, as large as the image or larger',
    can: 'service',
    operation: true,
    audit: 'volume_created',
    params: strict({
      id: Id,
      name: VolumeName,
      size: DiskSize,
      format: VolumeFormat,
      image: Path,
      owner: Type.String(),
    }),
    result: Volume,
  },
  receiveFor: {
    does: 'Make the empty images that the disks of a guest that runs are copied to, beside where they will be volumes of another VM',
    can: 'service',
    params: strict({
      copy: Type.String({ format: 'uuid', description: 'In the name of every image' }),
      source_owner: Type.String(),
      owner: Type.String(),
      disks: Type.Array(strict({ ...one, pool: Id, name: VolumeName, format: VolumeFormat }), { maxItems: 64 }),
    }),
    result: strict({ paths: Type.Array(Path) }),
  },
  placeFor: {
    does: 'Put images that have been filled in their places; again, what is there is fine',
    can: 'service',
    params: strict({ copy: Type.String({ format: 'uuid' }), owner: Type.String(), disks: Type.Array(strict(one)) }),
    result: strict({ data: Type.Array(Volume) }),
  },
  measure: {
    does: 'Tell how many bytes a full clone of a volume copies',
    can: 'service',
    params: strict(one),
    result: strict({ data_bytes: Type.Integer() }),
  },
  clonesOf: {
    does: 'List the linked clones of the volumes of some VMs',
    can: 'service',
    params: strict({ owners: Type.Array(Type.String(), { maxItems: 1000 }) }),
    result: strict({
      data: Type.Array(
        strict({
          owner: Type.String(),
          volume: Type.String(),
          clone: Type.String(),
          used_by: Volume.properties.used_by,
        }),
      ),
    }),
  },
  createFor: {
    does: 'Create a volume that belongs to a VM',
    can: 'service',
    params: strict({ id: Id, name: VolumeName, size: DiskSize, format: VolumeFormat, owner: Type.String() }),
    result: Volume,
  },
  locate: {
    does: 'Tell in which pool of a node an image is, and as which volume; pool null when it is in none',
    can: 'service',
    params: strict({ node: Id, path: Path, format: VolumeFormat }),
    result: strict({
      pool: Type.Union([Id, Type.Null()]),
      name: Type.Union([VolumeName, Type.Null()]),
      format: VolumeFormat,
      size_bytes: Type.Integer(),
      is_known: Type.Boolean({ description: 'It is a volume of the pool already' }),
      used_by: Type.Union([Type.String(), Type.Null()]),
    }),
  },
  adopt: {
    does: 'Make a file that lies in a pool a volume of it, which belongs to a VM',
    can: 'service',
    params: strict({ ...one, format: VolumeFormat, owner: Type.String() }),
    result: Volume,
  },
  forget: {
    does: 'Make a volume of a VM a mere file again; one that is gone is fine',
    can: 'service',
    params: strict({ ...one, owner: Type.String() }),
    result: Done,
  },
  attach: {
    does: 'Make a free volume belong to a VM',
    can: 'service',
    params: strict({ ...one, owner: Type.String() }),
    result: Volume,
  },
  detach: {
    does: 'Let a volume belong to nobody',
    can: 'service',
    params: strict({ ...one, owner: Type.String() }),
    result: Done,
  },
  growFor: {
    does: 'Grow the volume of a VM; where its guest has made the bytes grow already, only its record',
    can: 'service',
    params: strict({ ...one, size: DiskSize, owner: Type.String() }),
    result: Volume,
  },
  deleteFor: {
    does: 'Delete the volume of a VM; one that is gone is fine',
    can: 'service',
    params: strict({ ...one, owner: Type.String() }),
    result: Done,
  },
})

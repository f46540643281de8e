import { Type } from 'typebox'
import { contract } from '#shared/contract/contract.ts'
import { Done, Id, Path, strict } from '#shared/contracts/common.ts'
import { VolumeFormat } from '#shared/contracts/storage/pools.ts'
import { CloneMode, DiskSize, oneVolume, Volume, VolumeName } from '#shared/contracts/storage/volumes.ts'

/** Actions for the service of virtual machines only. */
const byVms = { can: 'service', callers: ['vm'] } as const

/** Volumes as the disks of virtual machines: `owner` is the path of a VM. */
export const volumesInternal = contract('volumes-internal', {
  cloneFor: {
    does: 'Copy a volume of a VM into one of another VM',
    ...byVms,
    operation: true,
    audit: 'volume_created',
    params: strict({
      ...oneVolume,
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
    ...byVms,
    params: strict({ node: Id, path: Path }),
    result: strict({ size_bytes: Type.Integer(), data_bytes: Type.Integer() }),
  },
  importFor: {
    does: 'Make a volume of a VM that holds a copy of an image on the node, as large as the image or larger',
    ...byVms,
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
  openCopyTargets: {
    does: 'Make the empty images that the disks of a guest that runs are copied to, beside where they will be volumes of another VM',
    ...byVms,
    params: strict({
      copy: Type.String({ format: 'uuid', description: 'In the name of every image' }),
      source_owner: Type.String(),
      owner: Type.String(),
      disks: Type.Array(strict({ ...oneVolume, pool: Id, name: VolumeName, format: VolumeFormat }), { maxItems: 64 }),
    }),
    result: strict({ paths: Type.Array(Path) }),
  },
  commitCopyTargets: {
    does: 'Put images that have been filled in their places; again, what is there is fine',
    ...byVms,
    params: strict({
      copy: Type.String({ format: 'uuid' }),
      owner: Type.String(),
      disks: Type.Array(strict(oneVolume)),
    }),
    result: strict({ data: Type.Array(Volume) }),
  },
  measure: {
    does: 'Tell how many bytes a full clone of a volume copies',
    ...byVms,
    params: strict(oneVolume),
    result: strict({ data_bytes: Type.Integer() }),
  },
  clonesOf: {
    does: 'List the linked clones of the volumes of some VMs',
    ...byVms,
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
    ...byVms,
    params: strict({ id: Id, name: VolumeName, size: DiskSize, format: VolumeFormat, owner: Type.String() }),
    result: Volume,
  },
  locate: {
    does: 'Tell in which pool of a node an image is, and as which volume; pool null when it is in none',
    ...byVms,
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
    ...byVms,
    params: strict({ ...oneVolume, format: VolumeFormat, owner: Type.String() }),
    result: Volume,
  },
  forget: {
    does: 'Make a volume of a VM a mere file again; one that is gone is fine',
    ...byVms,
    params: strict({ ...oneVolume, owner: Type.String() }),
    result: Done,
  },
  attach: {
    does: 'Make a free volume belong to a VM',
    ...byVms,
    params: strict({ ...oneVolume, owner: Type.String() }),
    result: Volume,
  },
  detach: {
    does: 'Let a volume belong to nobody',
    ...byVms,
    params: strict({ ...oneVolume, owner: Type.String() }),
    result: Done,
  },
  growFor: {
    does: 'Grow the volume of a VM; where its guest has made the bytes grow already, only its record',
    ...byVms,
    params: strict({ ...oneVolume, size: DiskSize, owner: Type.String() }),
    result: Volume,
  },
  deleteFor: {
    does: 'Delete the volume of a VM; one that is gone is fine',
    ...byVms,
    params: strict({ ...oneVolume, owner: Type.String() }),
    result: Done,
  },
})

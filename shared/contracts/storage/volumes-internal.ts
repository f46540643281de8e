import { type Static, Type } from 'typebox'
import { contract } from '#shared/contract/contract.ts'
import { Done, Id, None, nullable, Path, strict } from '#shared/contracts/common.ts'
import { AppliancePart } from '#shared/contracts/storage/appliances.ts'
import { across } from '#shared/contracts/storage/volumes-across.ts'
import { DiskSource } from '#shared/contracts/storage/disk-source.ts'
import { VolumeFormat } from '#shared/contracts/storage/pools.ts'
import { CloneMode, DiskSize, GivenFormat, oneVolume, Volume, VolumeName } from '#shared/contracts/storage/volumes.ts'

/** Actions for the service of virtual machines only. */
const byVms = { can: 'service', callers: ['vm'] } as const
/** Also for migrations, which move the disks of a VM to storage pools of another node. */
const byMovers = { can: 'service', callers: ['vm', 'migration'] } as const

/** The node of the VM: the answered source is the one there. */
const forNode = { node: Type.Optional(Id) }

/** A disk image or block device on a node that belongs to another system: it is read, and never written. */
export const ForeignDisk = strict({
  node: Id,
  path: Path,
  format: VolumeFormat,
  size_bytes: Type.Integer({ minimum: 1 }),
})
export type ForeignDisk = Static<typeof ForeignDisk>

/** An empty image for a hypervisor to fill. */
export const LiveCopy = strict({
  source: DiskSource,
  file: Type.String({ description: "The driver's word for this very file, whatever has its name later" }),
})
export type LiveCopy = Static<typeof LiveCopy>

/** Volumes as the disks of virtual machines: `owner` is the path of a VM. */
export const volumesInternal = contract('volumes-internal', {
  cloneFor: {
    does: 'Copy a volume of a VM into one of another VM on the same node',
    ...byVms,
    operation: true,
    audit: 'volume_created',
    params: strict({
      ...oneVolume,
      source_owner: Type.String(),
      snapshot: Type.Optional(Type.String({ ...Id, description: 'Copy this snapshot of the volume instead' })),
      mode: CloneMode,
      pool: Id,
      name: VolumeName,
      format: VolumeFormat,
      owner: Type.String(),
      bytes_per_second: Type.Optional(Type.Integer({ minimum: 1 })),
      ...forNode,
    }),
    result: Volume,
  },
  inspect: {
    does: 'Read the size of an image on a node, and how many bytes of data it has',
    ...byVms,
    params: strict({ node: Id, path: Path }),
    result: strict({ size_bytes: Type.Integer(), data_bytes: Type.Integer() }),
  },
  inspectForeign: {
    does: 'Read the size of a disk on a node that belongs to another system, whose backing files are read as well',
    ...byVms,
    params: strict({ node: Id, path: Path, format: VolumeFormat }),
    result: strict({ size_bytes: Type.Integer() }),
  },
  importFor: {
    does: 'Make a volume of a VM with a copy of an image on the node, in an upload on it, or on another node, as large as the image or larger',
    ...byVms,
    operation: true,
    audit: 'volume_created',
    params: strict({
      id: Id,
      name: VolumeName,
      size: DiskSize,
      format: VolumeFormat,
      image: Type.Optional(Path),
      part: Type.Optional(AppliancePart),
      foreign: Type.Optional(ForeignDisk),
      owner: Type.String(),
      ...forNode,
    }),
    result: Volume,
  },
  openCopyTargets: {
    does: 'Make empty images, which become volumes of another VM, for copies of the disks of a running guest',
    ...byVms,
    params: strict({
      copy: Type.String({ format: 'uuid', description: 'In the name of every image' }),
      source_owner: Type.String(),
      owner: Type.String(),
      disks: Type.Array(strict({ ...oneVolume, pool: Id, name: VolumeName, format: VolumeFormat }), { maxItems: 64 }),
      ...forNode,
    }),
    result: strict({ images: Type.Array(LiveCopy) }),
  },
  commitCopyTargets: {
    does: 'Make volumes of the images that openCopyTargets has made; repeating it is fine',
    ...byVms,
    params: strict({
      owner: Type.String(),
      disks: Type.Array(strict({ ...oneVolume, image: LiveCopy })),
      ...forNode,
    }),
    result: strict({ data: Type.Array(Volume) }),
  },
  requireMovable: {
    does: 'Check that nothing needs the volume of a VM where it is, such as a snapshot or a linked clone',
    ...byVms,
    params: strict({ ...oneVolume, owner: Type.String() }),
    result: Done,
  },
  openMove: {
    does: 'Make an empty volume of the same size, to which a hypervisor moves the disk of a running guest; repeating it is fine',
    ...byVms,
    params: strict({
      ...oneVolume,
      pool: Id,
      name: VolumeName,
      format: VolumeFormat,
      owner: Type.String(),
      ...forNode,
    }),
    result: Volume,
  },
  compareFor: {
    does: 'Compare a volume of a VM with the copy of it, byte by byte',
    ...byVms,
    params: strict({
      ...oneVolume,
      pool: Id,
      name: VolumeName,
      owner: Type.String(),
      is_open: Type.Boolean({ description: 'A guest that is paused has both open' }),
      limit_ms: Type.Integer({ minimum: 1 }),
      ...forNode,
    }),
    result: strict({ bytes: Type.Integer() }),
  },
  measure: {
    does: 'Measure how many bytes a full clone of a volume, or of a snapshot of it, copies',
    ...byMovers,
    params: strict({ ...oneVolume, snapshot: Type.Optional(Id) }),
    result: strict({ data_bytes: Type.Integer() }),
  },
  clonesOf: {
    does: 'List the linked clones of the volumes of some VMs, and of snapshots of these',
    ...byMovers,
    params: strict({ owners: Type.Array(Type.String(), { maxItems: 1000 }) }),
    result: strict({
      data: Type.Array(
        strict({
          owner: Type.String(),
          volume: Type.String(),
          snapshot: nullable(Id),
          clone: Type.String(),
          used_by: Volume.properties.used_by,
        }),
      ),
    }),
  },
  createFor: {
    does: 'Create a volume that belongs to a VM',
    ...byMovers,
    params: strict({ id: Id, name: VolumeName, size: DiskSize, format: GivenFormat, owner: Type.String(), ...forNode }),
    result: Volume,
  },
  ...across,
  secretOf: {
    does: 'Get the secret with which a hypervisor opens the disks of a storage pool; null for one that is of none',
    ...byVms,
    params: strict({ id: Type.String({ format: 'uuid' }) }),
    secret: ['secret'],
    result: Type.Union([
      strict({
        id: Type.String(),
        usage: Type.String({ description: "libvirt's type of the secret" }),
        label: Type.Enum(['name', 'target'], { description: "libvirt's word for the name of such a secret" }),
        name: Type.String(),
        secret: Type.String({ description: 'Base64' }),
      }),
      Type.Null(),
    ]),
  },
  locate: {
    does: 'Find the volume that a disk source on a node is; pool null when it is in no storage pool',
    ...byVms,
    params: strict({
      node: Id,
      source: DiskSource,
      format: Type.Optional(
        Type.Enum([...VolumeFormat.enum], {
          description: 'Its format as a disk; one in no storage pool is measured by it',
        }),
      ),
    }),
    result: strict({
      pool: Type.Union([Id, Type.Null()]),
      name: Type.Union([VolumeName, Type.Null()]),
      format: Type.Union([VolumeFormat, Type.Null()]),
      size_bytes: Type.Union([Type.Integer(), Type.Null()]),
      is_known: Type.Boolean({ description: 'It has a record in the storage pool' }),
      used_by: Type.Union([Type.String(), Type.Null()]),
      reads: Type.Array(Type.String(), { description: 'Paths of its backing files; none unless a format is given' }),
    }),
  },
  hold: {
    does: 'Record that a disk in no storage pool reads from volumes as its backing files; repeating it is fine',
    ...byVms,
    params: strict({ node: Id, source: DiskSource, format: VolumeFormat, reader: Type.String() }),
    result: Done,
  },
  release: {
    does: 'Forget that a disk in no storage pool reads from volumes',
    ...byVms,
    params: strict({ reader: Type.String() }),
    result: Done,
  },
  adopt: {
    does: 'Give an image that lies in a storage pool a record as a volume of a VM',
    ...byVms,
    params: strict({ ...oneVolume, format: VolumeFormat, owner: Type.String(), ...forNode }),
    result: Volume,
  },
  forget: {
    does: 'Remove the record of a volume of a VM and leave its bytes; one that is gone is fine',
    ...byVms,
    params: strict({ ...oneVolume, owner: Type.String() }),
    result: Done,
  },
  attach: {
    does: 'Give a free volume to a VM',
    ...byVms,
    params: strict({ ...oneVolume, owner: Type.String(), ...forNode }),
    result: Volume,
  },
  placeFor: {
    does: 'Make one volume of a VM usable on a node, and tell its source there; repeating it is fine',
    ...byVms,
    params: strict({ ...oneVolume, owner: Type.String(), node: Id }),
    result: Volume,
  },
  activateFor: {
    does: 'Make the volumes of a VM usable on its node, before its guest starts; repeating it is fine',
    ...byVms,
    params: strict({ owner: Type.String(), node: Id }),
    result: Done,
  },
  detach: {
    does: 'Take a volume from its VM',
    ...byVms,
    params: strict({ ...oneVolume, owner: Type.String() }),
    result: Done,
  },
  owned: {
    does: 'List the volumes that belong to an owner, with the operation that made each',
    ...byVms,
    params: strict({ after: Type.Optional(Type.String({ description: 'Those after this id' })) }),
    result: strict({
      data: Type.Array(
        strict({
          id: Type.String(),
          pool: Id,
          name: VolumeName,
          owner: Type.String(),
          operation: nullable(Type.String()),
        }),
      ),
      next: nullable(Type.String()),
    }),
  },
  unfinished: {
    does: 'List the images that were being made by operations which are not active',
    ...byVms,
    params: None,
    result: strict({
      data: Type.Array(strict({ pool: Id, name: Type.String(), operation: Type.String() })),
      unreached: Type.Array(strict({ name: Type.String(), reason: Type.String() })),
    }),
  },
  removeUnfinished: {
    does: 'Remove an image that was being made by an operation which has ended; one that is gone is fine',
    ...byVms,
    params: strict({ id: Id, name: Type.String() }),
    result: Done,
  },
  growFor: {
    does: 'Grow the volume of a VM; one whose bytes have grown already gets its record changed',
    ...byVms,
    params: strict({ ...oneVolume, size: DiskSize, owner: Type.String() }),
    result: Volume,
  },
  deleteFor: {
    does: 'Delete the volume of a VM; one that is gone is fine',
    ...byMovers,
    params: strict({ ...oneVolume, owner: Type.String() }),
    result: Done,
  },
})

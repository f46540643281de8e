import { type Static, Type } from 'typebox'
import { contract } from '#shared/contract/contract.ts'
import { Done, Id, nullable, oneOf, strict } from '#shared/contracts/common.ts'
import { DiskSource } from '#shared/contracts/storage/disk-source.ts'
import { VolumeFormat } from '#shared/contracts/storage/pools.ts'
import { oneVolume, Volume } from '#shared/contracts/storage/volumes.ts'

/** Actions for the service of virtual machines only. */
const byVms = { can: 'service', callers: ['vm'] } as const

const Disks = Type.Array(strict(oneVolume), { maxItems: 64 })
const SnapshotId = Type.String({ ...Id, description: 'Id of the snapshot of the VM' })
const HeadId = Type.String({ ...Id, description: 'Names the head of a restore' })
/** The volumes of one VM, on its node. */
const ofVm = { disks: Disks, node: Id }
const VolumeId = Type.String({ description: 'pool/name' })

/** `storage`: taking it is the moment. `hypervisor`: the moment is when the hypervisor of a running guest switches disks. */
const Moment = oneOf('storage', 'hypervisor')

const Merge = nullable(strict({ top: DiskSource, base: DiskSource }))

/** Cost of the deletion of a snapshot in one volume, and the obstacle to it. */
const Foretold = strict({
  id: VolumeId,
  plan: Type.String({ description: "The driver's own words, which `remove` gets" }),
  bytes: Type.Integer({ description: 'Bytes that are copied' }),
  seconds: Type.Union([Type.Number(), Type.Null()], {
    description: 'At the rate of the last merge in the storage pool',
  }),
  obstacle: nullable(Type.String()),
  merge: Merge,
})
export type Foretold = Static<typeof Foretold>

/** Snapshots of the volumes of a VM. The VM's own snapshot has the same id. */
export const volumeSnapshots = contract('volume-snapshots', {
  foresee: {
    does: 'Find everything that stands against a snapshot of some volumes, without effects',
    ...byVms,
    params: strict({ ...ofVm, owner: Type.String() }),
    result: strict({
      obstacles: Type.Array(strict({ id: VolumeId, reason: Type.String() })),
      held: Type.Array(strict({ id: VolumeId, bytes: Type.Integer() }), {
        description: 'Bytes that the snapshot holds as soon as it is taken',
      }),
    }),
  },
  take: {
    does: 'Take a snapshot of the volumes whose storage has this moment; repeating it is fine',
    ...byVms,
    params: strict({ ...ofVm, owner: Type.String(), snapshot: SnapshotId, moment: Moment }),
    result: strict({
      heads: Type.Array(strict({ id: VolumeId, source: DiskSource, format: VolumeFormat })),
    }),
  },
  heads: {
    does: 'Find the heads that the storage has made for a snapshot that is not settled, for hypervisors to switch to',
    ...byVms,
    params: strict({ ...ofVm, snapshot: SnapshotId }),
    result: strict({
      heads: Type.Array(strict({ id: VolumeId, source: DiskSource, format: VolumeFormat })),
      is_begun: Type.Boolean({ description: 'An earlier try of the snapshot has left something' }),
    }),
  },
  settle: {
    does: 'Record that guests write the new heads of a snapshot from now on; repeating it is fine',
    ...byVms,
    params: strict({ ...ofVm, snapshot: SnapshotId }),
    result: strict({ data: Type.Array(Volume) }),
  },
  drop: {
    does: 'Undo the taking of a snapshot that is not settled',
    ...byVms,
    params: strict({ ...ofVm, snapshot: SnapshotId }),
    result: Done,
  },
  open: {
    does: 'Make heads aside with the content of a snapshot; repeating it is fine',
    ...byVms,
    params: strict({ ...ofVm, snapshot: SnapshotId, head: HeadId }),
    result: Done,
  },
  swap: {
    does: 'Put the heads of a restore, or those of before it, in the place of the volumes; repeating it is fine',
    ...byVms,
    params: strict({ ...ofVm, head: HeadId, to: oneOf('restored', 'former') }),
    result: strict({ data: Type.Array(Volume) }),
  },
  discard: {
    does: 'Delete the heads of a restore that are not in the place of their volumes; those that are gone are fine',
    ...byVms,
    params: strict({ ...ofVm, head: HeadId }),
    result: Done,
  },
  foreseeClone: {
    does: 'Tell what can be copied of a snapshot of some volumes',
    ...byVms,
    params: strict({ ...ofVm, owner: Type.String(), snapshot: SnapshotId }),
    result: strict({
      data: Type.Array(
        strict({
          id: VolumeId,
          size_bytes: Type.Integer(),
          linked: Type.Boolean({ description: 'Linked clones can be made of it' }),
        }),
      ),
    }),
  },
  foreseeDeletion: {
    does: 'Foretell the deletion of a snapshot in each volume',
    ...byVms,
    params: strict({ ...ofVm, snapshot: SnapshotId, is_running: Type.Boolean() }),
    result: strict({ data: Type.Array(Foretold) }),
  },
  remove: {
    does: 'Delete a snapshot of a volume as it was foretold; the content of all else stays',
    can: 'service',
    callers: ['vm', 'storage'],
    operation: true,
    audit: 'snapshot_deleted',
    params: strict({
      ...oneVolume,
      node: Id,
      snapshot: SnapshotId,
      plan: Type.String(),
      bytes: Foretold.properties.bytes,
      merge_ms: Type.Union([Type.Number(), Type.Null()], { description: "Time of the hypervisor's merge" }),
      is_merged: Type.Boolean({ description: 'The hypervisor has merged the images that were foretold' }),
    }),
    result: nullable(Volume),
  },
  usage: {
    does: 'Measure the bytes of all snapshots of some volumes',
    ...byVms,
    params: strict(ofVm),
    result: strict({
      data: Type.Array(
        strict({
          id: VolumeId,
          snapshot: SnapshotId,
          held_bytes: nullable(Type.Integer()),
          freed_bytes: nullable(Type.Integer()),
        }),
      ),
    }),
  },
  purge: {
    does: 'Delete all snapshots of volumes that are deleted next, and the heads aside',
    ...byVms,
    params: strict({ ...ofVm, owner: Type.String() }),
    result: Done,
  },
})

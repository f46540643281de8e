import { type Static, Type } from 'typebox'
import { contract } from '#shared/contract/contract.ts'
import {
  ById,
  Done,
  Id,
  ListQuery,
  Name,
  nullable,
  oneOf,
  Page,
  record,
  strict,
  Time,
  Version,
} from '#shared/contracts/common.ts'
import { VolumeFormat } from '#shared/contracts/storage/pools.ts'
import { VolumeName } from '#shared/contracts/storage/volumes.ts'
import { Hardware, Nic } from '#shared/contracts/vm/hardware.ts'
import { Vm } from '#shared/contracts/vm/vms.ts'

/** `memory`: with the running state. `filesystem`: of frozen file systems. `crash`: as after a power cut. */
export const Consistency = oneOf('memory', 'filesystem', 'crash')
export type Consistency = Static<typeof Consistency>

const Bytes = nullable(Type.Integer())

const SnapshotDisk = strict({
  id: Type.String({ description: 'Its place in the guest, such as vda' }),
  pool: Id,
  volume: VolumeName,
  format: VolumeFormat,
  size_bytes: Type.Integer({ description: 'Size of the disk in the guest at that moment' }),
  held_bytes: Type.Union([Type.Integer(), Type.Null()], { description: 'Bytes that its storage holds for it' }),
  freed_bytes: Type.Union([Type.Integer(), Type.Null()], {
    description: 'Bytes that its deletion alone gives back; null where the storage cannot tell',
  }),
})

export const Snapshot = record('name state is_current consistency size_bytes created_at id')({
  id: Id,
  vm_id: Id,
  name: Name,
  description: Type.String(),
  state: oneOf('creating', 'ready', 'deleting'),
  parent_id: Type.Union([Id, Type.Null()], { description: 'The snapshot that it was taken after' }),
  is_current: Type.Boolean({ description: 'The disks of now come from it' }),
  schedule_id: Type.Union([Id, Type.Null()], { description: 'The schedule that made it; null: a caller' }),
  consistency: Type.Union([Consistency, Type.Null()], {
    description:
      'memory: with the running state; filesystem: of frozen file systems; crash: as after a power cut. Null of a guest that was off, and until it is taken',
  }),
  vm_status: Type.Union([oneOf('running', 'paused', 'stopped'), Type.Null()], {
    description: 'The status at that moment',
  }),
  pause_ms: Type.Union([Type.Integer(), Type.Null()], { description: 'Milliseconds for which the guest was paused' }),
  frozen_filesystems: Type.Union([Type.Integer(), Type.Null()]),
  disks: Type.Array(SnapshotDisk),
  config: strict({
    ...Hardware,
    nics: Type.Array(Nic),
    iso: Vm.properties.iso,
    boot: Vm.properties.boot,
  }),
  size_bytes: Type.Union([Type.Integer(), Type.Null()], { description: 'Bytes of its disks, memory and state' }),
  memory_bytes: Bytes,
  has_variables: Type.Boolean({ description: 'With the variables of its UEFI' }),
  has_tpm: Type.Boolean({ description: 'With the state of its TPM' }),
  measured_at: Type.Union([Time, Type.Null()], { description: 'When the bytes were measured' }),
  protected: Type.Boolean({ description: 'Refuses its deletion, also by schedules and quotas' }),
  uses: Type.Integer({ description: 'Restores, clones and templates made of it' }),
  last_used_at: Type.Union([Time, Type.Null()], { description: 'When the last of these was made' }),
  created_at: Time,
  updated_at: Time,
  version: Version,
})
export type Snapshot = Static<typeof Snapshot>

/** A snapshot in the tree, with what hangs on it and the cost of its deletion. */
const TreeNode = strict({
  id: Id,
  name: Name,
  state: Snapshot.properties.state,
  parent_id: Snapshot.properties.parent_id,
  children: Type.Array(Id),
  is_current: Type.Boolean(),
  depth: Type.Integer({ description: 'Snapshots above it in the tree' }),
  dependents: Type.Array(Type.String(), {
    description: 'Paths of the VMs, or volumes, that are linked clones of it; while there are any it cannot be deleted',
  }),
  created_at: Time,
  deletion: strict({
    bytes: Type.Integer({ description: 'Bytes that are copied' }),
    seconds: Type.Union([Type.Number(), Type.Null()], {
      description: 'At the rate of the last merge in its storage pools; null before the first one',
    }),
    obstacles: Type.Array(Type.String(), { description: 'Reasons that it is impossible now, each with the way out' }),
  }),
})
export type TreeNode = Static<typeof TreeNode>

const oneSnapshot = { id: Id, snapshot_id: Id }
const change = { can: 'VmSnapshot on /api/vms/{id}', operation: true } as const

export const snapshots = contract('snapshots', {
  list: {
    does: 'List the snapshots of a virtual machine',
    rest: 'GET /vms/{id}/snapshots',
    can: 'VmAudit on /api/vms/{id}',
    params: Type.Object(
      { id: Id, ...ListQuery('name', 'state', 'schedule_id').properties },
      { additionalProperties: false },
    ),
    result: Page(Snapshot),
  },
  get: {
    does: 'Get a snapshot of a virtual machine, with its bytes as they are now',
    rest: 'GET /vms/{id}/snapshots/{snapshot_id}',
    can: 'VmAudit on /api/vms/{id}',
    params: strict(oneSnapshot),
    result: Snapshot,
    computed: true,
  },
  tree: {
    does: 'Show the tree of the snapshots of a virtual machine, parents first, with the cost of each deletion',
    rest: 'GET /vms/{id}/snapshots/tree',
    can: 'VmAudit on /api/vms/{id}',
    params: ById,
    result: strict({
      current: Type.Union([Id, Type.Null()]),
      can_undo_restore: Type.Boolean(),
      data: Type.Array(TreeNode),
    }),
    computed: true,
  },
  create: {
    ...change,
    does: 'Take a snapshot of all disks of a virtual machine at one moment, with its memory when `include_memory` is set',
    rest: 'POST /vms/{id}/snapshots',
    audit: 'snapshot_created',
    params: strict({
      id: Id,
      name: Name,
      description: Type.String({ maxLength: 8192, default: '' }),
      include_memory: Type.Boolean({ default: false }),
    }),
    result: Snapshot,
  },
  update: {
    does: 'Change the description of a snapshot, or protect it from deletion',
    rest: 'PATCH /vms/{id}/snapshots/{snapshot_id}',
    can: 'VmSnapshot on /api/vms/{id}',
    audit: 'config_changed',
    params: strict({
      ...oneSnapshot,
      description: Type.Optional(Type.String({ maxLength: 8192 })),
      protected: Type.Optional(Type.Boolean()),
    }),
    result: Snapshot,
  },
  delete: {
    ...change,
    does: 'Delete a snapshot; the disks, other snapshots and clones keep their content',
    rest: 'DELETE /vms/{id}/snapshots/{snapshot_id}',
    audit: 'snapshot_deleted',
    params: strict(oneSnapshot),
    result: Done,
  },
  restore: {
    ...change,
    does: 'Bring a virtual machine that is off back to a snapshot; newer snapshots stay, and until its next start it can be undone',
    rest: 'POST /vms/{id}/snapshots/{snapshot_id}/restore',
    audit: 'snapshot_restored',
    params: strict({
      ...oneSnapshot,
      restore_memory: Type.Boolean({ default: false, description: 'It runs on from that moment' }),
    }),
    result: Vm,
  },
  undoRestore: {
    ...change,
    does: 'Undo the last restore of a virtual machine that has not started since',
    rest: 'POST /vms/{id}/restore/undo',
    audit: 'snapshot_restored',
    params: ById,
    result: Vm,
  },
})

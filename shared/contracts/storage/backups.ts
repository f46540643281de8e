import { type Static, Type } from 'typebox'
import { contract } from '#shared/contract/contract.ts'
import {
  ById,
  Done,
  Id,
  Name,
  nullable,
  oneOf,
  SearchPage,
  SearchQuery,
  record,
  strict,
  Time,
  Version,
} from '#shared/contracts/common.ts'
import { BackupContainer } from '#shared/contracts/storage/backup-container.ts'
import { BootCheck, DataDays, Proof } from '#shared/contracts/storage/backup-proofs.ts'
import { Consistency } from '#shared/contracts/vm/snapshots.ts'
import { Vm } from '#shared/contracts/vm/vms.ts'

const Bytes = Type.Integer({ minimum: 0 })
const Description = Type.String({ maxLength: 8192 })

/** Limit of the reading of disks. */
export const Bandwidth = Type.Integer({
  minimum: 1,
  maximum: 100_000,
  'x-unit': 'MiB/s',
  description: 'Reads at most so many MiB in a second',
})

const BackupDisk = strict({
  id: Type.String({ description: 'Its place in the guest, such as vda' }),
  pool: Type.String({ ...Id, description: 'The storage pool that it was in' }),
  volume: Type.String(),
  size_bytes: Type.Integer({ description: 'Size of the disk in the guest' }),
  data_bytes: Type.Integer({ description: 'Bytes of it that are not holes' }),
  digest: Type.String({
    description:
      'SHA-256 of the ids of its chunks of 4 MiB: their SHA-256, keyed in an encrypted store; computed again of every restored disk',
  }),
})

export const Backup = record('kind vm_name container_name state taken_at size_bytes stored_bytes pool protected id')({
  id: Id,
  kind: oneOf('vm', 'container'),
  vm_id: Type.Union([Id, Type.Null()], { description: 'It may be gone; null of a container' }),
  vm_name: nullable(Name),
  container_id: Type.Union([Id, Type.Null()], { description: 'It may be gone; null of a virtual machine' }),
  container_name: nullable(Type.String()),
  container: nullable(BackupContainer),
  pool: Type.String({ ...Id, description: 'Storage pool that has the backup store' }),
  description: Description,
  state: oneOf('creating', 'ready', 'deleting'),
  taken_at: Type.Union([Time, Type.Null()], { description: 'The moment whose bytes it has' }),
  consistency: Type.Union([Consistency, Type.Null()], {
    description: 'filesystem: of frozen file systems; crash: as after a power cut; null of a guest that was off',
  }),
  vm_status: nullable(oneOf('running', 'paused', 'stopped')),
  disks: Type.Array(BackupDisk),
  size_bytes: Type.Integer({ description: 'Size of its disks in the guest, or of the archives of a container' }),
  data_bytes: Type.Integer({ description: 'Bytes of its disks that are not holes' }),
  new_bytes: Type.Integer({ description: 'Bytes of chunks that the store did not have before' }),
  stored_bytes: Type.Integer({ description: 'Bytes that these take in the store' }),
  protected: Type.Boolean({ description: 'Refuses its deletion, also by retention' }),
  job_id: Type.Union([Id, Type.Null()], { description: 'The job that made it; null: a caller' }),
  kept_by: Type.Optional(
    Type.Union([Type.String(), Type.Null()], {
      description: 'The rule of its job that kept it at the last run, with the period: "weekly 2026-W41"',
    }),
  ),
  structure: Type.Union([Proof, Type.Null()], {
    description: 'Its manifest is as it was written, and the store has a pack for each of its chunks',
  }),
  data: Type.Union([Proof, Type.Null()], { description: 'Every chunk was read, decompressed and compared' }),
  boot: Type.Union([Proof, Type.Null()], {
    description: 'A guest was started from a restored copy, without a network',
  }),
  created_at: Time,
  updated_at: Time,
  version: Version,
})
export type Backup = Static<typeof Backup>

/** Something that a restore does otherwise than the virtual machine was at the backup. */
export const Difference = strict({
  field: Type.String(),
  backup: Type.String(),
  restored: Type.String(),
  reason: Type.String(),
})
export type Difference = Static<typeof Difference>

export const RestorePlan = strict({
  to: oneOf('new', 'same'),
  vm_id: Id,
  name: Name,
  node: Id,
  disks: Type.Array(
    strict({ id: Type.String(), pool: Id, volume: Type.String(), format: Type.String(), size_bytes: Bytes }),
  ),
  data_bytes: Bytes,
  differences: Type.Array(Difference),
  plan_id: Type.String(),
})
export type RestorePlan = Static<typeof RestorePlan>

const on = 'VmBackup on /api/backups/{id}' as const

export const backups = contract('backups', {
  list: {
    does: 'List the backups',
    rest: 'GET /backups',
    can: 'signed-in',
    itemAccess: 'VmAudit on /api/backups/{id}',
    params: SearchQuery(Backup, [
      'kind',
      'vm_id',
      'vm_name',
      'container_id',
      'container_name',
      'pool',
      'state',
      'job_id',
      'protected',
    ]),
    result: SearchPage(Backup),
  },
  get: {
    does: 'Get a backup',
    rest: 'GET /backups/{id}',
    can: 'VmAudit on /api/backups/{id}',
    params: ById,
    result: Backup,
  },
  create: {
    does: 'Back up all disks of a virtual machine, running or off, as they are at one moment; takes DatastoreAllocate on the storage pool as well',
    rest: 'POST /backups',
    can: 'VmBackup on /api/vms/{vm_id}',
    operation: true,
    audit: 'backup_created',
    params: strict({
      id: Type.Optional(Id),
      vm_id: Id,
      pool: Type.String({ ...Id, description: 'Storage pool whose backup store gets it; one that holds objects' }),
      description: Type.String({ ...Description, default: '' }),
      protected: Type.Boolean({ default: false }),
      bandwidth_mib: Type.Optional(Bandwidth),
    }),
    result: Backup,
  },
  createFor: {
    does: 'Back up a virtual machine for a job',
    can: 'service',
    callers: ['storage'],
    operation: true,
    audit: 'backup_created',
    params: strict({ id: Id, vm_id: Id, pool: Id, job: Id, bandwidth_mib: nullable(Bandwidth) }),
    result: Backup,
  },
  update: {
    does: 'Change the description of a backup, or protect it from deletion',
    rest: 'PATCH /backups/{id}',
    can: on,
    audit: 'config_changed',
    params: strict({
      id: Id,
      description: Type.Optional(Description),
      protected: Type.Optional(Type.Boolean()),
    }),
    result: Backup,
  },
  delete: {
    does: 'Delete a backup; the daily garbage collection frees the bytes that no other backup needs',
    rest: 'DELETE /backups/{id}',
    can: on,
    operation: true,
    audit: 'backup_deleted',
    params: ById,
    result: Done,
  },
  restore: {
    does: 'Restore a backup to a new virtual machine, or to its own, which is off; takes VmAllocate or VmConfig on that one as well',
    rest: 'POST /backups/{id}/restore',
    can: on,
    operation: true,
    audit: 'backup_restored',
    plan: RestorePlan,
    params: strict({
      id: Id,
      plan: Type.Boolean({ default: false, description: 'Answer with the plan, and change nothing' }),
      to: Type.Enum(['new', 'same'], {
        default: 'new',
        description: 'same: the disks of its own virtual machine; their present state is kept in a snapshot',
      }),
      vm_id: Type.Optional(Type.String({ ...Id, description: 'Id of the new virtual machine' })),
      name: Type.Optional(Type.String({ ...Name, description: 'Name of the new virtual machine' })),
      node: Type.Optional(Type.String({ ...Id, description: 'Node of the new virtual machine' })),
      pool: Type.Optional(
        Type.String({ ...Id, description: 'Storage pool of all new disks; those that they were in if not given' }),
      ),
      keep_macs: Type.Boolean({
        default: false,
        description: 'The new virtual machine gets the MAC addresses of the backup, which must be free',
      }),
      start: Type.Boolean({ default: false }),
    }),
    result: Vm,
  },
  verify: {
    does: 'Verify a backup: its structure, and with `data` every byte of its disks or files',
    rest: 'POST /backups/{id}/verify',
    can: on,
    operation: true,
    audit: 'config_changed',
    params: strict({ id: Id, level: Type.Enum(['structure', 'data'], { default: 'data' }) }),
    result: Backup,
  },
  prove: {
    does: 'Prove that a backup boots: restore it beside, start a guest without a network, judge it, and remove it again; takes VmAllocate on the guest and DatastoreAllocate on the storage pools as well',
    rest: 'POST /backups/{id}/prove',
    can: on,
    operation: true,
    audit: 'config_changed',
    params: strict({
      id: Id,
      check: BootCheck,
      node: Type.Optional(Type.String({ ...Id, description: 'Node of the guest; that of the backup if not given' })),
      pool: Type.Optional(
        Type.String({ ...Id, description: 'Storage pool of its disks; those that they were in if not given' }),
      ),
    }),
    result: Backup,
  },
})

export const StoreUsage = strict({
  id: Type.String({ ...Id, description: 'Storage pool that has the backup store' }),
  backups: Type.Integer(),
  packs: Type.Integer(),
  stored_bytes: Bytes,
  unused_bytes: Type.Integer({ description: 'Bytes that no backup needs; a garbage collection frees them' }),
  damaged: Type.Array(Type.String(), { description: 'What cannot be read, in words' }),
})

export const backupStores = contract('backup-stores', {
  get: {
    does: 'Measure the backup store of a storage pool',
    rest: 'GET /backup-stores/{id}',
    can: 'DatastoreAudit on /api/storage/pools/{id}',
    params: ById,
    result: StoreUsage,
    computed: true,
  },
  collect: {
    does: 'Free the bytes of a backup store that no backup needs, as happens once a day by itself',
    rest: 'POST /backup-stores/{id}/collect',
    can: 'DatastoreAllocate on /api/storage/pools/{id}',
    operation: true,
    audit: 'config_changed',
    params: ById,
    result: strict({
      removed_packs: Type.Integer(),
      rewritten_packs: Type.Integer(),
      freed_bytes: Bytes,
    }),
  },
  prove: {
    does: 'Read chunks of a backup store and compare them, those that were not read for longest first; the backups get the result as their verification of data',
    rest: 'POST /backup-stores/{id}/prove',
    can: 'DatastoreAllocate on /api/storage/pools/{id}',
    operation: true,
    audit: 'config_changed',
    params: strict({
      id: Id,
      days: Type.Integer({
        ...DataDays,
        default: 1,
        description:
          'Reads the share of the days since the last time, so that everything is read once in so many days; 1: everything',
      }),
    }),
    result: strict({
      read_chunks: Type.Integer(),
      damaged_chunks: Type.Integer(),
      proven: Type.Integer({ description: 'Backups of which every chunk was read, and is right' }),
      damaged: Type.Array(Id, { description: 'Backups that have lost something' }),
    }),
  },
})

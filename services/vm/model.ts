import { type Static, Type } from 'typebox'
import { withPath } from '#shared/contracts/storage/disk-source.ts'
import { Disk, type Pending } from '#shared/contracts/vm/hardware.ts'
import { MoveProgress } from '#shared/contracts/vm/moves.ts'
import { Vm } from '#shared/contracts/vm/vms.ts'
import { collection } from '#shared/db/collection.ts'
import { inOrder } from '#shared/db/convert-documents.ts'
import { renameFields } from '#shared/db/rename-fields.ts'
import { migrateDevices } from './earlier-devices.ts'
import { migrateDisks } from './earlier-disks.ts'

const { path: _, ...storedDisk } = Disk.properties
const reads = Type.Optional(Type.Array(Type.String(), { description: 'Paths of its backing files, when adopted' }))
const StoredDisk = Type.Object({ ...storedDisk, reads })
/** A disk as stored: its path is derived from its source. */
export type DiskRecord = Static<typeof StoredDisk>

/** The lease of a VM under HA. A VM without it is not under HA. */
const Lease = Type.Object({
  epoch: Type.Integer({ description: 'Raised before each start by HA' }),
  path: Type.Union([Type.String(), Type.Null()], {
    description: 'The lease file beside its disks, the same on all nodes; null: its disks are no files',
  }),
  is_guarded: Type.Boolean({ description: 'The guard of its guest ran when its node last answered' }),
  is_fencing: Type.Boolean({ description: 'A failover has raised the epoch and has not ended: nothing starts it' }),
  old_nodes: Type.Array(Type.String(), { description: 'Nodes that may still have its former definition or guest' }),
  ran: Type.Optional(
    Type.Object(
      {
        node: Type.String(),
        node_boot_id: Type.String(),
        is_lost: Type.Boolean({
          description: 'The guest is off there: the node has booted since, or its guard has ended it',
        }),
        storage: Type.Optional(
          Type.Enum(['away', 'back'], {
            description:
              'Its guard has ended it since its storage did not answer; the state of that when last looked at',
          }),
        ),
      },
      { description: 'Its last run, with the boot of its node; none once it was seen off in the same boot' },
    ),
  ),
})

const StoredVm = Type.Object({
  ...Vm.properties,
  disks: Type.Array(StoredDisk),
  handle: Type.String({ description: "The hypervisor's own name of the guest, which only its driver reads" }),
  defined: Type.Boolean({ description: "The host's definition says what the record says" }),
  foreign_disks: Type.Optional(Vm.properties.foreign_disks),
  boot_id: Type.Union([Type.String(), Type.Null()], { description: 'The run of the guest that `pending` is about' }),
  moving: Type.Optional(
    Type.Object(
      {
        operation: Type.String(),
        target: Type.String(),
        runs: Type.Optional(Type.Boolean({ description: 'It will run there, also if it is off during its move' })),
        post_copy: Type.Optional(
          Type.Object(
            { at: Type.String(), bandwidth_mib: Type.Integer(), numbers: MoveProgress },
            { description: 'Post-copy was ordered: each node may have a part of it. The numbers are of that moment' },
          ),
        ),
      },
      { description: 'It may be on this node already; `node` follows when that is proven' },
    ),
  ),
  ha: Type.Optional(Lease),
  replaced_by: Type.Optional(
    Type.String({ description: 'The VM that runs in its place, with its addresses; it does not start beside it' }),
  ),
})

export const vmRecords = collection('vms', StoredVm, {
  kind: 'Virtual machine',
  resource: { path: '/api/vms/{id}', sees: 'VmAudit on /api/vms/{id}' },
  indexes: [
    { fields: { name: 1 }, unique: true },
    { fields: { handle: 1, hypervisor: 1, node: 1 }, unique: true },
    { fields: { node: 1, status: 1 } },
    { fields: { 'nics.mac': 1 } },
    { fields: { tags: 1 } },
    { fields: { 'ha.epoch': 1 } },
  ],
  migrate: inOrder(renameFields({ domain_uuid: 'handle', run: 'boot_id' }), migrateDisks, migrateDevices),
})
export type VmRecord = Omit<Vm, 'disks' | 'foreign_disks'> &
  Pick<
    Static<typeof StoredVm>,
    'disks' | 'foreign_disks' | 'handle' | 'defined' | 'boot_id' | 'moving' | 'ha' | 'replaced_by'
  >

const diskView = ({ reads: _r, ...disk }: DiskRecord) => withPath(disk)

/** A record as callers see it. */
export const viewOf = ({
  handle: _,
  defined: _d,
  boot_id: _b,
  moving: _m,
  ha: _h,
  replaced_by: _r,
  ...vm
}: VmRecord): Vm => ({
  ...vm,
  disks: vm.disks.map(diskView),
  foreign_disks: vm.foreign_disks ?? [],
  pending: vm.pending.map((each) => (each.field === 'disks' ? disksOf(each) : each)),
})

/** A pending change of disks: both of its values are lists of stored disks. */
const disksOf = ({ field, current, next }: Pending): Pending => ({
  field,
  current: (current as DiskRecord[]).map(diskView),
  next: (next as DiskRecord[]).map(diskView),
})

export const apiPathOf = (id: string) => `/api/vms/${id}`
/** The lock on a name that is being taken. */
export const nameKeyOf = (name: string) => `vm name ${name}`

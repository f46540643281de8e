import { type Static, Type } from 'typebox'
import { withPath } from '#shared/contracts/storage/disk-source.ts'
import { Disk, type Pending } from '#shared/contracts/vm/hardware.ts'
import { Vm } from '#shared/contracts/vm/vms.ts'
import { collection } from '#shared/db/collection.ts'
import { inOrder } from '#shared/db/convert-documents.ts'
import { renameFields } from '#shared/db/rename-fields.ts'
import { migrateDisks } from './earlier-disks.ts'

const { path: _, ...storedDisk } = Disk.properties
const StoredDisk = Type.Object(storedDisk)
/** A disk as stored: its path is derived from its source. */
export type DiskRecord = Static<typeof StoredDisk>

const StoredVm = Type.Object({
  ...Vm.properties,
  disks: Type.Array(StoredDisk),
  handle: Type.String({ description: "The hypervisor's own name of the guest, which only its driver reads" }),
  defined: Type.Boolean({ description: "The host's definition says what the record says" }),
  boot_id: Type.Union([Type.String(), Type.Null()], { description: 'The run of the guest that `pending` is about' }),
})

export const vmRecords = collection('vms', StoredVm, {
  kind: 'Virtual machine',
  hasEvents: true,
  indexes: [
    { fields: { name: 1 }, unique: true },
    { fields: { handle: 1, hypervisor: 1, node: 1 }, unique: true },
    { fields: { node: 1, status: 1 } },
    { fields: { 'nics.mac': 1 } },
    { fields: { tags: 1 } },
  ],
  migrate: inOrder(renameFields({ domain_uuid: 'handle', run: 'boot_id' }), migrateDisks),
})
export type VmRecord = Omit<Vm, 'disks'> & Pick<Static<typeof StoredVm>, 'disks' | 'handle' | 'defined' | 'boot_id'>

/** A record as callers see it. */
export const viewOf = ({ handle: _, defined: _d, boot_id: _b, ...vm }: VmRecord): Vm => ({
  ...vm,
  disks: vm.disks.map(withPath),
  pending: vm.pending.map((each) => (each.field === 'disks' ? disksOf(each) : each)),
})

/** A pending change of disks: both of its values are lists of stored disks. */
const disksOf = ({ field, current, next }: Pending): Pending => ({
  field,
  current: (current as DiskRecord[]).map(withPath),
  next: (next as DiskRecord[]).map(withPath),
})

export const apiPathOf = (id: string) => `/api/vms/${id}`
/** The lock on a name that is being taken. */
export const nameKeyOf = (name: string) => `vm name ${name}`

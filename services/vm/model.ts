import { type Static, Type } from 'typebox'
import { Vm } from '#shared/contracts/vm/vms.ts'
import { collection } from '#shared/db/collection.ts'
import { renameFields } from '#shared/db/rename-fields.ts'

const StoredVm = Type.Object({
  ...Vm.properties,
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
  migrate: renameFields({ domain_uuid: 'handle', run: 'boot_id' }),
})
export type VmRecord = Vm & Pick<Static<typeof StoredVm>, 'handle' | 'defined' | 'boot_id'>

/** A record as callers see it. */
export const viewOf = ({ handle: _, defined: _d, boot_id: _b, ...vm }: VmRecord): Vm => vm

export const pathOf = (id: string) => `/api/vms/${id}`
/** The lock on a name that is being taken. */
export const nameKeyOf = (name: string) => `vm name ${name}`

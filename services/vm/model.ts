import { validate } from 'uuid'
import { Type } from 'typebox'
import { Vm } from '#shared/contracts/vm/vms.ts'
import { collection } from '#shared/db/collection.ts'
import { idFrom } from '#shared/ids.ts'

const StoredVm = Type.Object({
  ...Vm.properties,
  domain_uuid: Type.String(),
  defined: Type.Boolean({ description: "The host's definition says what the record says" }),
  run: Type.Union([Type.String(), Type.Null()], { description: 'The run of the guest that `pending` is about' }),
})

export const vmRecords = collection('vms', StoredVm, {
  kind: 'Virtual machine',
  indexes: [
    { fields: { name: 1 }, unique: true },
    { fields: { domain_uuid: 1 }, unique: true },
    { fields: { node: 1, status: 1 } },
    { fields: { 'nics.mac': 1 } },
    { fields: { tags: 1 } },
  ],
})
export type VmRecord = Vm & { domain_uuid: string; defined: boolean; run: string | null }

/** A record as callers see it. */
export const viewOf = ({ domain_uuid: _, defined: _d, run: _r, ...vm }: VmRecord): Vm => vm

/** libvirt knows a guest by a UUID: the id itself when it is one, else one that follows from it. */
export const domainUuidOf = (id: string) => (validate(id) ? id.toLowerCase() : idFrom(`vm/${id}`))

export const pathOf = (id: string) => `/api/vms/${id}`
/** Held while a name is being taken. */
export const nameKeyOf = (name: string) => `vm name ${name}`

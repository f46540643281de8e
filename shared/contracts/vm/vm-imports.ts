import { type Static, Type } from 'typebox'
import { contract } from '#shared/contract/contract.ts'
import { Id, Name, nullable, oneOf, strict } from '#shared/contracts/common.ts'
import { ApplianceSource } from '#shared/contracts/storage/appliances.ts'
import { NewDisk, NewHardware, NewNic } from '#shared/contracts/vm/hardware.ts'
import { Vm, vms } from '#shared/contracts/vm/vms.ts'

const { network, bridge } = NewNic.properties
const { resource_pool } = vms.actions.create.params.properties

export const ImportPlan = strict({
  plan_id: Type.String({ description: 'For the header `If-Plan`' }),
  name: Type.String(),
  node: Type.String({ description: 'The node that it is made on: that of the uploads, if there are any' }),
  cpus: Type.Integer(),
  topology: NewHardware.topology,
  memory: Type.Integer({ description: 'MiB' }),
  firmware: nullable(oneOf('bios', 'uefi')),
  disks: Type.Array(
    strict({
      file: nullable(Type.String({ description: 'Its file, or its volume there; null: an empty disk' })),
      size_bytes: Type.Integer(),
      controller: Type.String({ description: 'Its controller there' }),
      bus: Type.String(),
      pool: Id,
    }),
  ),
  nics: Type.Array(
    strict({
      from: nullable(Type.String({ description: 'Its network, or bridge, there' })),
      network: nullable(Type.String()),
      bridge: nullable(Type.String()),
      from_model: nullable(Type.String()),
      model: Type.String(),
      mac: nullable(Type.String({ description: 'null: a new one' })),
    }),
  ),
  changed: Type.Array(Type.String(), { description: 'Parts that become something else' }),
  unmapped: Type.Array(Type.String(), { description: 'Parts that the VM does not get' }),
  violations: Type.Array(strict({ field: Type.String(), code: Type.String(), message: Type.String() }), {
    description: 'They refuse the import',
  }),
})
export type ImportPlan = Static<typeof ImportPlan>

/** Virtual machines of other hypervisors. A queue of their own: they take long. */
export const vmImports = contract('vm-imports', {
  run: {
    does: 'Make a virtual machine of an uploaded OVA, or of an OVF descriptor with its disks; the uploads are removed after. Takes DatastoreAllocate on both storage pools',
    rest: 'POST /vms/import',
    can: 'VmAllocate on /api/vms/{id}',
    canInside: 'VmAllocate on /api/resource-pools/{resource_pool}',
    operation: true,
    audit: 'vm_created',
    plan: ImportPlan,
    params: strict({
      ...ApplianceSource,
      id: Type.Optional(Id),
      name: Type.Optional(Type.String({ ...Name, description: 'That of the descriptor unless given' })),
      storage: Type.Optional(
        Type.String({ ...Id, description: 'Storage pool for the disks; that of the uploads unless given' }),
      ),
      format: NewDisk.properties.format,
      bus: Type.Optional(
        Type.Enum(['virtio', 'scsi', 'sata'], {
          description:
            'Of all disks; unless given that of the descriptor, with sata for controllers whose drivers a guest may lack',
        }),
      ),
      networks: Type.Array(strict({ from: Type.String({ maxLength: 255 }), network, bridge }), {
        maxItems: 16,
        default: [],
        description: 'Networks or bridges here for those of the descriptor; `default` for all others',
      }),
      nic_model: Type.Optional(Type.Enum(['virtio', 'e1000e', 'rtl8139'], { description: 'Of all NICs' })),
      keep_macs: Type.Boolean({ default: false, description: 'Keep the MAC addresses of the descriptor' }),
      cpus: Type.Optional(NewHardware.cpus),
      memory: Type.Optional(NewHardware.memory),
      firmware: NewHardware.firmware,
      resource_pool,
      start: Type.Boolean({ default: false }),
      plan: Type.Boolean({ default: false, description: 'Answer with the plan, and change nothing' }),
    }),
    result: Vm,
  },
})

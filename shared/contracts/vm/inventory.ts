import { type Static, Type } from 'typebox'
import { contract } from '#shared/contract/contract.ts'
import { Id, nullable, strict, Time } from '#shared/contracts/common.ts'

/** A VM as placement and jobs of backups see it. */
const InventoryVm = strict({
  id: Type.String(),
  name: Type.String(),
  node: Type.String(),
  status: Type.String(),
  moving_to: nullable(Type.String({ description: 'Node that its guest moves to at present, and has room on already' })),
  memory: Type.Integer({ 'x-unit': 'MiB', description: 'MiB' }),
  vcpus: Type.Integer({ description: 'Those that it has, or may get while it runs' }),
  architecture: Type.String(),
  accel: Type.String(),
  sees_host_cpu: Type.Boolean({ description: 'Its CPU has the features of its node, so that others may lack some' }),
  pools: Type.Array(Type.String(), { description: 'Storage pools of its disks' }),
  tags: Type.Array(Type.String()),
  created_at: Time,
  written_disks: Type.Integer({ description: 'Disks that it may write' }),
})
export type InventoryVm = Static<typeof InventoryVm>

export const inventory = contract('inventory', {
  vms: {
    does: 'List all VMs with what placement and jobs of backups need, a page at a time',
    can: 'service',
    callers: ['cluster', 'storage'],
    params: strict({ after: Type.Optional(Id) }),
    result: strict({ data: Type.Array(InventoryVm), next: nullable(Type.String()) }),
  },
})

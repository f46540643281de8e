import { type Static, Type } from 'typebox'
import { contract } from '#shared/contract/contract.ts'
import { Id, Name, nullable, strict } from '#shared/contracts/common.ts'
import { Address } from '#shared/contracts/cluster/nodes.ts'
import { NewDisk, NewHardware } from '#shared/contracts/vm/hardware.ts'
import { ImportPlan, vmImports } from '#shared/contracts/vm/vm-imports.ts'
import { Vm, vms } from '#shared/contracts/vm/vms.ts'

const { bus, networks, nic_model } = vmImports.actions.run.params.properties
const { resource_pool } = vms.actions.create.params.properties

/** The way to the API of a Proxmox VE host. */
const Connection = {
  address: Address,
  port: Type.Integer({ minimum: 1, maximum: 65_535, default: 8006 }),
  token_id: Type.String({
    examples: ['root@pam!horcrux'],
    maxLength: 200,
    pattern: '^[^\\s:/!@]+@[A-Za-z][A-Za-z0-9._-]+![A-Za-z][A-Za-z0-9._-]+$',
    errorMessage: 'must be user, realm and name of an API token: root@pam!horcrux',
  }),
  token_secret: Type.String({
    minLength: 1,
    maxLength: 200,
    pattern: '^[!-~]+$',
    errorMessage: 'must be the secret that was shown when the API token was made',
  }),
  fingerprint: Type.Optional(
    Type.String({
      examples: ['AA:25:F4:6E:2B:1C:87:90:5D:3E:0F:11:22:33:44:55:66:77:88:99:AB:BC:CD:DE:EF:F0:01:12:23:34:45:56'],
      pattern: '^([0-9A-Fa-f]{2}:){31}[0-9A-Fa-f]{2}$',
      description:
        'SHA-256 fingerprint of its TLS certificate, as its page shows it; unless given, the certificate must be of an authority that the system of Horcrux trusts',
      errorMessage: 'must be a SHA-256 fingerprint: 32 pairs of hexadecimal digits with colons',
    }),
  ),
}
export const ProxmoxConnection = strict(Connection)
export type ProxmoxConnection = Static<typeof ProxmoxConnection>

const VmId = Type.Integer({ minimum: 100, maximum: 999_999_999, description: 'Number of the virtual machine there' })

const Listed = strict({
  vmid: VmId,
  name: nullable(Type.String()),
  node: Type.String({ description: 'The node there that has it' }),
  status: Type.String({ description: 'As the cluster tells it: running or stopped' }),
  template: Type.Boolean(),
  cpus: nullable(Type.Number()),
  memory_bytes: nullable(Type.Integer()),
  tags: Type.Array(Type.String()),
})

/** Virtual machines of Proxmox VE. A queue of their own: they take long. */
export const proxmoxImports = contract('proxmox-imports', {
  list: {
    does: 'List the virtual machines of a Proxmox VE host or cluster that its API token may see',
    rest: 'POST /vms/import/proxmox/list',
    can: 'SysModify on /api/cluster/nodes',
    params: ProxmoxConnection,
    secret: ['token_secret'],
    result: strict({ data: Type.Array(Listed) }),
  },
  run: {
    does: 'Make a virtual machine of one of Proxmox VE that is stopped: its configuration is read over the API, its disks over SSH; nothing is changed there. Takes SysModify on /api/cluster/nodes and on the node with the disks, and DatastoreAllocate on the storage pool',
    rest: 'POST /vms/import/proxmox',
    can: 'VmAllocate on /api/vms/{id}',
    canInside: 'VmAllocate on /api/resource-pools/{resource_pool}',
    operation: true,
    audit: 'vm_created',
    plan: ImportPlan,
    secret: ['token_secret'],
    params: strict({
      ...Connection,
      vmid: VmId,
      source_node: Type.String({
        ...Id,
        description: 'The Proxmox VE host with the disks, registered as a node over SSH; no engine is needed on it',
      }),
      id: Type.Optional(Id),
      name: Type.Optional(Type.String({ ...Name, description: 'That of the virtual machine there unless given' })),
      pool: Type.String({ ...Id, description: 'Storage pool for the disks' }),
      node: Type.Optional(
        Type.String({ ...Id, description: 'The node that it runs on; that of the storage pool unless given' }),
      ),
      format: NewDisk.properties.format,
      bus,
      networks,
      nic_model,
      keep_macs: Type.Boolean({ default: true, description: 'Keep the MAC addresses' }),
      cpus: Type.Optional(NewHardware.cpus),
      cpu_model: NewHardware.cpu_model,
      memory: Type.Optional(NewHardware.memory),
      firmware: NewHardware.firmware,
      resource_pool,
      plan: Type.Boolean({ default: false, description: 'Answer with the plan, and change nothing' }),
    }),
    result: Vm,
  },
})

import { type Static, Type } from 'typebox'
import { Id, Name, nullable, strict } from '#shared/contracts/common.ts'
import { Cpus, Memory, Nic } from '#shared/contracts/vm/hardware.ts'
import { VolumeFormat } from '#shared/contracts/storage/pools.ts'
import { CloneMode } from '#shared/contracts/storage/volumes.ts'

const Label = '[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?'
const IpAddress = Type.String({ maxLength: 45, description: 'IPv4 or IPv6 address' })

const NicAddress = Type.String({
  maxLength: 49,
  description: 'With its prefix, such as 10.0.0.5/24; or dhcp, or dhcp6 (DHCPv6)',
})

/** Network settings that a preset can have; the others differ from guest to guest. */
export const CommonNetwork = {
  gateway: Type.Optional(
    Type.String({
      maxLength: 45,
      description: 'IPv4 or IPv6, of the first NIC; outside the prefixes of its addresses it is on-link',
    }),
  ),
  gateway6: Type.Optional(Type.String({ maxLength: 45, description: 'IPv6, beside an IPv4 gateway' })),
  dns_servers: Type.Optional(Type.Array(IpAddress, { maxItems: 8 })),
  domain: Type.Optional(
    Type.String({
      examples: ['example.org'],
      pattern: `^${Label}(\\.${Label})*$`,
      // With a host name of 63 before it, it is a whole name of at most 253.
      maxLength: 189,
      errorMessage: 'must be a domain name, such as example.org',
    }),
  ),
}

/** Settings that cloud-init makes in the guest at its first start. Gateway and DNS servers are the first NIC's. */
export const NetworkConfig = strict({
  hostname: Type.Optional(
    Type.String({
      examples: ['web-1'],
      pattern: `^${Label}$`,
      description: "The clone's name unless given",
      errorMessage: 'must be a host name: 1 to 63 letters, digits and hyphens, no hyphen at its ends',
    }),
  ),
  ip_addresses: Type.Optional(
    Type.Array(Type.Union([NicAddress, Type.Array(NicAddress, { minItems: 1, maxItems: 16 })]), {
      maxItems: 16,
      description: 'One, or a list, for each NIC, in their order; all of them dhcp unless given',
    }),
  ),
  ...CommonNetwork,
})
export type NetworkConfig = Static<typeof NetworkConfig>

export const Tags = Type.Array(Type.String({ examples: ['web'], pattern: '^[A-Za-z0-9][A-Za-z0-9_.:-]{0,62}$' }), {
  maxItems: 50,
  uniqueItems: true,
})

/** Settings that clones can have in common: a preset keeps these. */
export const presetOptions = {
  mode: Type.Optional(CloneMode),
  start: Type.Optional(Type.Boolean({ description: 'Start the clone; false unless a preset says otherwise' })),
  pool: Type.Optional(
    Type.String({ ...Id, description: "Storage pool of a full clone's disks; the source's unless given" }),
  ),
  cpus: Type.Optional(Cpus),
  memory: Type.Optional(Memory),
  tags: Type.Optional(Tags),
}

/** Settings of a clone. One that is not given comes from the preset, else from the source. */
export const cloneParams = {
  ...presetOptions,
  id: Type.Optional(Type.String({ ...Id, description: 'Id of the clone; made by the server unless given' })),
  name: Name,
  description: Type.Optional(Type.String({ maxLength: 8192 })),
  mac_addresses: Type.Optional(
    Type.Array(Nic.properties.mac, { maxItems: 16, description: 'One for each NIC; new ones unless given' }),
  ),
  network_config: Type.Optional(NetworkConfig),
  resource_pool: Type.Optional(
    Type.String({ ...Id, description: 'Resource pool that the clone is made in, within its limits and for its users' }),
  ),
  snapshot: Type.Optional(
    Type.String({ ...Id, description: 'A snapshot of the source: the clone has its disks and hardware' }),
  ),
  preset: Type.Optional(Type.String({ ...Id, description: 'A clone preset, for settings that are not given here' })),
}
const CloneParams = strict(cloneParams)
export type CloneParams = Static<typeof CloneParams>

const { mode: _m, pool: _p, preset: _s, ...kept } = cloneParams
/** Settings of a clone on another node. All that is not given comes from the source. */
const crossCloneParams = {
  ...kept,
  target_node: Id,
  source_node: Type.Optional(Type.String({ ...Id, description: 'The node of the source, to be sure of it' })),
  pool: Type.Optional(
    Type.String({
      ...Id,
      description:
        "Storage pool of the clone's disks; unless given the source's where the target node reaches it, else the only one that suits",
    }),
  ),
  compression_enabled: Type.Boolean({
    default: true,
    description: 'Compresses the disks on their way through the SSH connections to the nodes',
  }),
  bandwidth_limit_mbps: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: 1_000_000,
      'x-unit': 'Mbit/s',
      description: 'Megabits of disk content per second',
    }),
  ),
  ssh_port: Type.Optional(
    Type.Integer({ minimum: 1, maximum: 65_535, description: "Older word: must be the target node's registered one" }),
  ),
  ssh_user: Type.Optional(
    Type.String({ maxLength: 64, description: "Older word: must be the target node's registered one" }),
  ),
}

/** A clone on another node as it would be made. */
export const CrossClonePlan = strict({
  plan_id: Type.String({ description: 'For If-Plan' }),
  vm_id: Id,
  source_node: Id,
  target_node: Id,
  is_possible: Type.Boolean(),
  disks: Type.Array(
    strict({
      id: Type.String(),
      source_pool: Id,
      source_volume: Type.String(),
      pool: Id,
      format: VolumeFormat,
      size_bytes: Type.Integer(),
      data_bytes: nullable(Type.Integer({ description: 'Bytes that are copied; null when they cannot be read' })),
      is_sent: Type.Boolean({
        description: 'It goes through the connections to both nodes; else the target reaches it',
      }),
    }),
  ),
  bytes_to_copy: Type.Integer({ 'x-unit': 'bytes' }),
  violations: Type.Array(strict({ field: Type.String(), code: Type.String(), message: Type.String() })),
})
export type CrossClonePlan = Static<typeof CrossClonePlan>

/** The action, but for its result. */
export const crossClone = {
  does: 'Clone a virtual machine that is off, or a snapshot of one, to another node; takes VmConfig on the source as well',
  rest: 'POST /vms/{vm}/clone-cross-node',
  can: 'VmAllocate on /api/vms/{id}',
  canInside: 'VmAllocate on /api/resource-pools/{resource_pool}',
  operation: true,
  audit: 'vm_created',
  params: strict({
    vm: Id,
    ...crossCloneParams,
    plan: Type.Optional(Type.Boolean({ description: 'Only answer the checks; nothing is changed' })),
  }),
  plan: CrossClonePlan,
} as const

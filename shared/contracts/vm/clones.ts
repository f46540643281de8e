import { type Static, Type } from 'typebox'
import { Id, Name, strict } from '#shared/contracts/common.ts'
import { Cpus, Memory, Nic } from '#shared/contracts/vm/hardware.ts'
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

const Tags = Type.Array(Type.String({ pattern: '^[A-Za-z0-9][A-Za-z0-9_.:-]{0,62}$' }), {
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

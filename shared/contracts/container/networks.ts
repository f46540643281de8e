import { type Static, Type } from 'typebox'
import { contract } from '#shared/contract/contract.ts'
import {
  ById,
  Done,
  Id,
  SearchQuery,
  localNode,
  Name,
  nullable,
  oneOf,
  SearchPage,
  record,
  strict,
  Time,
  Version,
} from '#shared/contracts/common.ts'

/** Name of an interface of Linux. */
const Interface = Type.String({
  examples: ['eth1'],
  pattern: '^[A-Za-z0-9][A-Za-z0-9_.-]{0,14}$',
  errorMessage: 'must be the name of an interface: at most 15 letters, digits, _ . and -',
})
const Cidr = Type.String({ maxLength: 64, description: 'Such as 10.1.0.0/24 or fd01::/64' })
const Address = Type.String({ maxLength: 45 })

export const Subnet = strict({
  subnet: Cidr,
  gateway: Type.Optional(Type.String({ ...Address, description: 'Default: the first address' })),
  range_start: Type.Optional(Type.String({ ...Address, description: 'First address that is given away' })),
  range_end: Type.Optional(Type.String({ ...Address, description: 'Last address that is given away' })),
})
export type Subnet = Static<typeof Subnet>

/** A network as a request describes it. */
const networkSpec = {
  name: Name,
  type: oneOf('bridge', 'macvlan'),
  subnets: Type.Array(Subnet, { minItems: 1, maxItems: 2, description: 'At most one of each family' }),
  parent: Type.Optional(nullable(Type.String({ ...Interface, description: 'Interface of the node; macvlan only' }))),
  mtu: Type.Optional(nullable(Type.Integer({ minimum: 1280, maximum: 65_535 }))),
  internal: Type.Boolean({
    default: false,
    description: 'True: no route out of the network and no address translation',
  }),
}
const NetworkSpec = strict({ id: Id, ...networkSpec })
export type NetworkSpec = Static<typeof NetworkSpec>

const PortNumber = Type.Integer({ minimum: 1, maximum: 65_535 })
export const PublishedPort = strict({
  host_port: PortNumber,
  container_port: PortNumber,
  protocol: Type.Enum(['tcp', 'udp', 'sctp'], { default: 'tcp' }),
  host_ip: Type.Optional(Type.String({ ...Address, description: 'Address of the node; default: all' })),
})

/** A container's interface in a network. */
export const Attachment = strict({
  id: Id,
  network: Id,
  container: Id,
  interface: Interface,
  addresses: Type.Array(Type.String(), { description: 'Kept over restarts; empty until the container first runs' }),
  mac: nullable(Type.String()),
  bridge_port: nullable(Type.String({ description: 'Interface of the node that leads to it' })),
  ports: Type.Array(PublishedPort),
  state: oneOf('waiting', 'attached', 'failed'),
  state_reason: nullable(Type.String()),
  created_at: Time,
})
export type Attachment = Static<typeof Attachment>

export const Network = record('name type node subnets internal id')({
  id: Id,
  ...networkSpec,
  node: Id,
  bridge: nullable(Type.String({ description: 'The interface of the node; null for macvlan' })),
  attachments: Type.Array(Attachment),
  created_at: Time,
  updated_at: Time,
  version: Version,
})
export type Network = Static<typeof Network>

const change = { can: 'NetworkModify on /api/networks/{id}' } as const

export const networks = contract('networks', {
  list: {
    does: 'List networks of containers',
    rest: 'GET /networks',
    can: 'signed-in',
    itemAccess: 'NetworkAudit on /api/networks/{id}',
    params: SearchQuery(Network, ['id', 'name', 'node', 'type']),
    result: SearchPage(Network),
  },
  get: {
    does: 'Get a network with its attachments',
    rest: 'GET /networks/{id}',
    can: 'NetworkAudit on /api/networks/{id}',
    params: ById,
    result: Network,
    computed: true,
  },
  create: {
    does: 'Create a network on a node; its bridge is made with the first attachment',
    rest: 'POST /networks',
    ...change,
    canInside: 'NetworkModify on /api/resource-pools/{resource_pool}',
    audit: 'config_changed',
    params: strict({
      id: Type.Optional(Id),
      node: Type.String({ ...Id, default: localNode }),
      resource_pool: Type.Optional(Id),
      ...networkSpec,
    }),
    result: Network,
    status: 201,
  },
  delete: {
    does: 'Delete a network without attachments, with its bridge',
    rest: 'DELETE /networks/{id}',
    ...change,
    audit: 'config_changed',
    params: ById,
    result: Done,
    status: 204,
  },
  attach: {
    does: 'Attach a container to a network: at once when it runs, and at each start; needs ContainerConfig on the container',
    rest: 'POST /networks/{id}/attachments',
    ...change,
    audit: 'container_config_changed',
    params: strict({
      id: Id,
      container: Id,
      interface: Type.Optional(Interface),
      addresses: Type.Array(Type.String({ maxLength: 45 }), {
        maxItems: 2,
        default: [],
        description: 'Fixed addresses',
      }),
      ports: Type.Array(PublishedPort, { maxItems: 100, default: [] }),
    }),
    operation: true,
    result: Attachment,
  },
  detach: {
    does: 'Detach a container from a network; needs ContainerConfig on the container',
    rest: 'DELETE /networks/{id}/attachments/{container}',
    ...change,
    audit: 'container_config_changed',
    params: strict({ id: Id, container: Id }),
    operation: true,
    result: Done,
  },
})

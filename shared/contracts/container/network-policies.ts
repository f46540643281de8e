import { type Static, Type } from 'typebox'
import { contract } from '#shared/contract/contract.ts'
import {
  Done,
  Id,
  LabelKey,
  Labels,
  LabelValue,
  SearchQuery,
  nullable,
  oneOf,
  SearchPage,
  record,
  strict,
  Time,
  Version,
} from '#shared/contracts/common.ts'

export type { Labels } from '#shared/contracts/common.ts'

const Requirement = strict({
  key: LabelKey,
  operator: oneOf('In', 'NotIn', 'Exists', 'DoesNotExist'),
  values: Type.Optional(Type.Array(LabelValue, { maxItems: 100 })),
})

/** The label selector of Kubernetes; an empty one selects everything. */
export const Selector = strict({
  match_labels: Type.Optional(Labels),
  match_expressions: Type.Optional(Type.Array(Requirement, { maxItems: 100 })),
})
export type Selector = Static<typeof Selector>

const Cidr = Type.String({ minLength: 1, maxLength: 64, description: 'Such as 10.0.0.0/8 or fd00::/8' })
const Peer = strict({
  pod_selector: Type.Optional(nullable(Selector)),
  namespace_selector: Type.Optional(nullable(Selector)),
  ip_block: Type.Optional(
    nullable(strict({ cidr: Cidr, except: Type.Optional(Type.Array(Cidr, { maxItems: 1000 })) })),
  ),
})
export type Peer = Static<typeof Peer>

export const protocols = ['TCP', 'UDP', 'SCTP'] as const
const Port = strict({
  protocol: Type.Optional(oneOf(...protocols)),
  port: Type.Optional(Type.Union([Type.Integer({ minimum: 1, maximum: 65_535 }), Type.String({ maxLength: 15 })])),
  end_port: Type.Optional(Type.Integer({ minimum: 1, maximum: 65_535 })),
})
export type PolicyPort = Static<typeof Port>

const Ports = Type.Optional(Type.Array(Port, { maxItems: 200 }))
const Peers = Type.Optional(Type.Array(Peer, { maxItems: 500 }))
const Ingress = strict({ from: Peers, ports: Ports })
const Egress = strict({ to: Peers, ports: Ports })

export const Direction = oneOf('Ingress', 'Egress')
export type Direction = Static<typeof Direction>

/** Words after /network-policies/ that are no ids. */
const PolicyId = Type.String({
  examples: ['allow-web'],
  pattern: '^(?!(?:explain|drops|preview|apply|new|summary)$)[A-Za-z0-9][A-Za-z0-9-]{0,62}$',
  description: 'Letters, digits and hyphens, at most 63; made by the server unless given',
  errorMessage:
    'must be 1 to 63 letters, digits and hyphens, begin with a letter or digit, and not be a word of the API such as drops',
})
const ByPolicyId = strict({ id: PolicyId })

/** A policy's content, in the words of networking.k8s.io/v1 with underscores. */
const policySpec = {
  resource_pool: Type.Union([Id, Type.Null()], {
    default: null,
    description: 'The scope, "namespace" in Kubernetes; null: containers and VMs in no resource pool',
  }),
  pod_selector: Type.Optional(Selector),
  policy_types: Type.Optional(Type.Array(Direction, { minItems: 1, maxItems: 2 })),
  ingress: Type.Optional(Type.Array(Ingress, { maxItems: 200 })),
  egress: Type.Optional(Type.Array(Egress, { maxItems: 200 })),
}
const PolicySpec = strict(policySpec)
export type PolicySpec = Static<typeof PolicySpec>

const Description = Type.String({ maxLength: 1000, default: '' })

/** A container or VM for which the policies that select it do not hold. */
const Gap = strict({
  node: Type.String(),
  resource: nullable(Type.String({ description: 'Path of the container or VM; null: all of the node' })),
  reason: Type.String(),
})
export type Gap = Static<typeof Gap>

export const NetworkPolicy = record('id resource_pool enforced selects description')({
  id: PolicyId,
  description: Description,
  ...policySpec,
  selects: Type.Array(Type.String(), { description: 'Paths of the containers and VMs that it isolates' }),
  enforced: Type.Boolean({ description: 'False when it does not hold for one that it selects' }),
  gaps: Type.Array(Gap, { description: 'Where it is not enforced, and why' }),
  created_at: Time,
  updated_at: Time,
  version: Version,
})
export type NetworkPolicy = Static<typeof NetworkPolicy>

const Given = { description: Description, ...policySpec }
const GivenPolicy = strict({ id: PolicyId, ...Given })

/** Changes of policies that take effect together. */
const changes = {
  policies: Type.Array(GivenPolicy, { maxItems: 1000, default: [], description: 'Made, or replaced as a whole' }),
  delete: Type.Array(PolicyId, { maxItems: 1000, default: [] }),
}

const Address = Type.String({ maxLength: 63 })
const PortNumber = Type.Integer({ minimum: 0, maximum: 65_535 })
const flow = {
  from: Type.String({ description: 'Address' }),
  to: Type.String({ description: 'Address, behind port mapping' }),
  protocol: Type.String(),
  port: nullable(PortNumber),
}
const Flow = strict({ node: Type.String(), ...flow })

/** The judgement of one side of a flow. */
const Side = strict({
  allowed: Type.Boolean(),
  reason: oneOf('open', 'rule', 'no rule', 'own node', 'gateway', 'disputed'),
  endpoint: nullable(Type.String({ description: 'Path of the container or VM' })),
  isolated_by: Type.Array(Type.String(), { description: 'Policies that isolate it in this direction' }),
  allowed_by: nullable(
    strict({ policy: Type.String(), rule: Type.Integer({ description: 'Its place in the list, from 0' }) }),
  ),
})
const Explained = strict({ ...flow, allowed: Type.Boolean(), egress: Side, ingress: Side })

export const Applied = strict({
  id: Id,
  state: oneOf('confirmed', 'pending', 'undone'),
  confirm_by: nullable(Time),
  policies: Type.Array(Type.String(), { description: 'Policies that it made, replaced or deleted' }),
})
export type Applied = Static<typeof Applied>

const change = { can: 'NetworkModify on /api/network-policies/{id}', audit: 'policy_changed' } as const
const changeAll = { can: 'NetworkModify on /api/network-policies', audit: 'policy_changed' } as const
const look = 'NetworkAudit on /api/network-policies'

export const networkPolicies = contract('network-policies', {
  list: {
    does: 'List network policies',
    rest: 'GET /network-policies',
    can: 'signed-in',
    itemAccess: 'NetworkAudit on /api/network-policies/{id}',
    params: SearchQuery(NetworkPolicy, ['id', 'resource_pool']),
    result: SearchPage(NetworkPolicy),
  },
  get: {
    does: 'Get a network policy, with the places where it is not enforced',
    rest: 'GET /network-policies/{id}',
    can: 'NetworkAudit on /api/network-policies/{id}',
    params: ByPolicyId,
    result: NetworkPolicy,
    computed: true,
  },
  create: {
    does: 'Create a network policy; it is in effect when the answer comes, on every node that is reached',
    rest: 'POST /network-policies',
    ...change,
    params: strict({ id: Type.Optional(PolicyId), ...Given }),
    result: NetworkPolicy,
    status: 201,
  },
  replace: {
    does: 'Replace a network policy',
    rest: 'PUT /network-policies/{id}',
    ...change,
    params: GivenPolicy,
    result: NetworkPolicy,
  },
  delete: {
    does: 'Delete a network policy',
    rest: 'DELETE /network-policies/{id}',
    ...change,
    params: ByPolicyId,
    result: Done,
    status: 204,
  },
  apply: {
    does: 'Change several network policies together; with confirm_within the change undoes itself unless it is confirmed',
    rest: 'POST /network-policies/apply',
    ...changeAll,
    params: strict({
      ...changes,
      confirm_within: Type.Optional(
        Type.Integer({ minimum: 5, maximum: 3600, 'x-unit': 'seconds', description: 'Seconds' }),
      ),
    }),
    result: Applied,
  },
  confirm: {
    does: 'Confirm a change of network policies, which then stays',
    rest: 'POST /network-policies/apply/{id}/confirm',
    ...changeAll,
    params: strict({ id: Id }),
    result: Applied,
  },
  preview: {
    does: 'Tell which connections a change would end, and which recent attempts it would allow; nothing is changed',
    rest: 'POST /network-policies/preview',
    can: look,
    params: strict(changes),
    result: strict({
      cut: Type.Array(Flow, { description: 'Connections of now that would end' }),
      opened: Type.Array(Flow, { description: 'Attempts that were refused within the last hour and would be allowed' }),
      gaps: Type.Array(Gap),
    }),
  },
  explain: {
    does: 'Tell whether a connection is allowed, and by which policy',
    rest: 'GET /network-policies/explain',
    can: look,
    params: strict({
      from: Type.String({ ...Address, description: 'Id of a container or VM, or an address' }),
      to: Type.String({ ...Address, description: 'Id of a container or VM, or an address' }),
      protocol: Type.Enum(['TCP', 'UDP', 'SCTP', 'ICMP'], { default: 'TCP' }),
      port: Type.Optional(PortNumber),
    }),
    result: strict({
      allowed: Type.Boolean({ description: 'True when all of `flows` are' }),
      flows: Type.Array(Explained, { description: 'One for each pair of addresses of one family' }),
    }),
  },
  drops: {
    does: 'List the packets that network policies have dropped, the flows of the last hour and the count of each policy',
    rest: 'GET /network-policies/drops',
    can: look,
    params: strict({ node: Type.Optional(Id) }),
    result: strict({
      flows: Type.Array(
        strict({
          ...Flow.properties,
          direction: Direction,
          packets: Type.Integer(),
          bytes: Type.Integer(),
          policies: Type.Array(Type.String(), { description: 'Policies of now that isolate the endpoint' }),
        }),
      ),
      policies: Type.Array(
        strict({ node: Type.String(), policy: Type.String(), packets: Type.Integer(), bytes: Type.Integer() }),
      ),
      unreachable: Type.Array(Type.String(), { description: 'Nodes that do not answer' }),
    }),
  },
})

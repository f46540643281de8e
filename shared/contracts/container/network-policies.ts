import { type Static, Type } from 'typebox'
import { Id, nullable, oneOf, strict } from '#shared/contracts/common.ts'

/** Key of a label as Kubernetes checks it: an optional DNS prefix and a name. */
const LabelKey = Type.String({
  pattern: '^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$',
  errorMessage: 'must be a label key: at most 63 letters, digits, -, _ and ., with an optional DNS prefix before a /',
})
const LabelValue = Type.String({
  pattern: '^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$',
  errorMessage: 'must be a label value: at most 63 letters, digits, -, _ and ., or empty',
})
export const Labels = Type.Record(LabelKey, LabelValue)
export type Labels = Record<string, string>

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

/** A policy's content, in the words of networking.k8s.io/v1 with underscores. */
export const policySpec = {
  resource_pool: nullable(
    Type.String({ ...Id, description: 'The scope, "namespace" in Kubernetes; null: resources in no resource pool' }),
  ),
  pod_selector: Type.Optional(Selector),
  policy_types: Type.Optional(Type.Array(Direction, { minItems: 1, maxItems: 2 })),
  ingress: Type.Optional(Type.Array(Ingress, { maxItems: 200 })),
  egress: Type.Optional(Type.Array(Egress, { maxItems: 200 })),
}
const PolicySpec = strict(policySpec)
export type PolicySpec = Static<typeof PolicySpec>

import type { Peer, PolicyPort, Selector } from '#shared/contracts/container/network-policies.ts'
import type { Endpoint, Flow, Policy, World } from '../../../services/container/policies/world.ts'

/**
 * Kubernetes' text, sentence by sentence and as slow as it likes: https://kubernetes.io/docs/concepts/services-networking/network-policies
 * and the comments of k8s.io/api/networking/v1. Nothing of the product is imported but types.
 */

function bits(address: string): string {
  if (!address.includes(':'))
    return address
      .split('.')
      .map((part) => Number(part).toString(2).padStart(8, '0'))
      .join('')
  const [head = '', tail = ''] = address.split('::')
  const [left, right] = [head, tail].map((side) => side.split(':').filter(Boolean))
  const middle = Array<string>(8 - left!.length - right!.length).fill('0')
  return [...left!, ...middle, ...right!]
    .map((word) => Number.parseInt(word, 16).toString(2).padStart(16, '0'))
    .join('')
}

function isInCidr(address: string, cidr: string): boolean {
  const [base = '', length = ''] = cidr.split('/')
  const [a, b] = [bits(address), bits(base)]
  return a.length === b.length && a.startsWith(b.slice(0, Number(length)))
}

type Requirement = NonNullable<Selector['match_expressions']>[number]

function meets({ key, operator, values = [] }: Requirement, labels: Record<string, string>): boolean {
  const isOneOf = key in labels && values.includes(labels[key]!)
  switch (operator) {
    case 'In':
      return isOneOf
    case 'NotIn':
      return !isOneOf
    case 'Exists':
      return key in labels
    case 'DoesNotExist':
      return !(key in labels)
  }
}

/** "The result of matchLabels and matchExpressions are ANDed. An empty label selector matches all objects." */
const fits = ({ match_labels = {}, match_expressions = [] }: Selector, labels: Record<string, string>): boolean =>
  Object.entries(match_labels).every(([key, value]) => labels[key] === value) &&
  match_expressions.every((requirement) => meets(requirement, labels))

const namespacesOf = ({ scopes }: Endpoint): readonly (string | null)[] => (scopes.length === 0 ? [null] : scopes)

/** "If this field is not specified, it will default based on the existence of ingress or egress rules." */
function typesOf({ policy_types, egress = [] }: Policy): string[] {
  if (policy_types) return [...policy_types]
  return egress.length === 0 ? ['Ingress'] : ['Ingress', 'Egress']
}

type Type = 'Ingress' | 'Egress'
type Rule = { peers?: Peer[] | undefined; ports?: PolicyPort[] | undefined }
const rulesOf = ({ ingress = [], egress = [] }: Policy, type: Type): Rule[] =>
  type === 'Ingress'
    ? ingress.map(({ from, ports }) => ({ peers: from, ports }))
    : egress.map(({ to, ports }) => ({ peers: to, ports }))

type About = { world: World; policy: Policy; address: string; pod: Endpoint | null }

function peerFits(
  { pod_selector, namespace_selector, ip_block }: Peer,
  { world, policy, address, pod }: About,
): boolean {
  if (ip_block)
    return isInCidr(address, ip_block.cidr) && !(ip_block.except ?? []).some((one) => isInCidr(address, one))
  if (!pod) return false
  const namespaces = namespacesOf(pod)
  const isInNamespace = namespace_selector
    ? namespaces.some((name) => fits(namespace_selector, name === null ? {} : (world.scopes.get(name) ?? {})))
    : namespaces.includes(policy.resource_pool)
  return isInNamespace && fits(pod_selector ?? {}, pod.labels)
}

function portFits({ protocol = 'TCP', port, end_port }: PolicyPort, flow: Flow, target: Endpoint | null): boolean {
  if (protocol.toLowerCase() !== flow.protocol || flow.port === null) return false
  if (port === undefined) return true
  if (typeof port === 'number') return flow.port >= port && flow.port <= (end_port ?? port)
  for (const named of target?.ports ?? [])
    if (named.name === port && named.protocol === flow.protocol && named.port === flow.port) return true
  return false
}

/** Ours: DHCP and DNS of the gateway of a pod's network. */
function isForGateway({ gateways }: World, { from, to, protocol, port }: Flow): boolean {
  if (!gateways.some(({ address, subnet }) => address === to && isInCidr(from, subnet))) return false
  return (port === 53 && ['tcp', 'udp'].includes(protocol)) || (port === 67 && protocol === 'udp')
}

/** True when any rule of any policy of a pod allows the flow in a direction, or none isolates it. */
function allows(policies: readonly Policy[], world: World, flow: Flow, type: Type): boolean {
  const [self, other] = type === 'Ingress' ? [flow.to, flow.from] : [flow.from, flow.to]
  const pods = world.endpoints.filter(({ addresses }) => addresses.includes(self))
  const isOf = (pod: Endpoint) => (policy: Policy) =>
    typesOf(policy).includes(type) &&
    namespacesOf(pod).includes(policy.resource_pool) &&
    fits(policy.pod_selector ?? {}, pod.labels)
  const applicable = pods.filter((pod) => pod.isLocal).flatMap((pod) => policies.filter(isOf(pod)))
  // "If no policies apply to a pod, all traffic is allowed."
  if (applicable.length === 0) return true
  // "Traffic from the node of a pod is always allowed."
  if (type === 'Ingress' && world.own.has(other)) return true
  if (type === 'Egress' && isForGateway(world, flow)) return true
  // Ours: an address of two pods has no labels, and is closed.
  if (pods.length > 1) return false
  const others = world.endpoints.filter(({ addresses }) => addresses.includes(other))
  const peer = others.length === 1 ? others[0]! : null
  const target = type === 'Ingress' ? pods[0]! : peer
  return applicable.some((policy) =>
    rulesOf(policy, type).some(({ peers = [], ports = [] }) => {
      const about = { world, policy, address: other, pod: peer }
      if (peers.length > 0 && !peers.some((one) => peerFits(one, about))) return false
      return ports.length === 0 || ports.some((one) => portFits(one, flow, target))
    }),
  )
}

/** "For a connection to be allowed, both the egress policy on the source and the ingress policy on the destination need to allow it." */
export const allowedByTheBook = (policies: readonly Policy[], world: World, flow: Flow): boolean =>
  allows(policies, world, flow, 'Egress') && allows(policies, world, flow, 'Ingress')

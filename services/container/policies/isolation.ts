import type { Direction, Peer, PolicyPort } from '#shared/contracts/container/network-policies.ts'
import { selects } from './selectors.ts'
import { type Endpoint, noPool, type Policy, scopesOf, type World } from './world.ts'

/** One rule of one direction; `peers` and `ports` that are missing or empty allow every peer and every port. */
export type Rule = { peers: readonly Peer[]; ports: readonly PolicyPort[] }

export const scopeOf = (policy: Policy): string => policy.resource_pool ?? noPool

/** The directions in which a policy isolates: as given, else Ingress, and Egress when it has egress rules. */
export function directionsOf({ policy_types, egress }: Policy): readonly Direction[] {
  if (policy_types) return policy_types
  return egress && egress.length > 0 ? ['Ingress', 'Egress'] : ['Ingress']
}

export function rulesOf(policy: Policy, direction: Direction): Rule[] {
  if (!directionsOf(policy).includes(direction)) return []
  const { ingress = [], egress = [] } = policy
  return direction === 'Ingress'
    ? ingress.map(({ from = [], ports = [] }) => ({ peers: from, ports }))
    : egress.map(({ to = [], ports = [] }) => ({ peers: to, ports }))
}

/** True when a policy selects an endpoint: it is in the policy's scope, and its labels fit. */
export const appliesTo = (policy: Policy, endpoint: Endpoint): boolean =>
  scopesOf(endpoint).includes(scopeOf(policy)) && selects(policy.pod_selector ?? {}, endpoint.labels)

/** The policies that isolate an endpoint in a direction; without any it is open there. */
export const isolating = (policies: readonly Policy[], endpoint: Endpoint, direction: Direction): Policy[] =>
  policies.filter((policy) => directionsOf(policy).includes(direction) && appliesTo(policy, endpoint))

/** True when the selectors of a peer, which has no block, fit an endpoint. `scope` is the one of the policy. */
export function peerSelects(
  { pod_selector, namespace_selector }: Peer,
  scope: string,
  endpoint: Endpoint,
  scopes: World['scopes'],
) {
  const inScope = namespace_selector
    ? scopesOf(endpoint).some((id) => selects(namespace_selector, scopes.get(id) ?? {}))
    : scopesOf(endpoint).includes(scope)
  return inScope && selects(pod_selector ?? {}, endpoint.labels)
}

export const protocolOf = ({ protocol = 'TCP' }: PolicyPort): string => protocol.toLowerCase()

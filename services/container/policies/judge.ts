import type { Direction, Peer, PolicyPort } from '#shared/contracts/container/network-policies.ts'
import { isInBlock } from './addresses.ts'
import { isolating, peerSelects, protocolOf, rulesOf, scopeOf } from './isolation.ts'
import type { Endpoint, Flow, Gateway, Policy, World } from './world.ts'

/**
 * `open`: no policy isolates; `rule`: a rule allows; `no rule`: isolated, and no rule allows; `own node` and `gateway`:
 * allowed without a rule; `disputed`: two endpoints have the address, so its policies cannot be told apart.
 */
type Reason = 'open' | 'rule' | 'no rule' | 'own node' | 'gateway' | 'disputed'

/** The judgement of one side of a flow. */
export type Side = {
  allowed: boolean
  reason: Reason
  endpoint: string | null
  /** Policies that isolate the endpoint in this direction. */
  isolated_by: string[]
  /** The rule that allows. */
  allowed_by: { policy: string; rule: number } | null
}
export type Verdict = { allowed: boolean; egress: Side; ingress: Side }

/** Judges flows; keeps the policies of each endpoint, so that many flows cost little. */
export type Judge = (flow: Flow) => Verdict

/** The endpoints of each address. */
export function byAddress(endpoints: readonly Endpoint[]): Map<string, Endpoint[]> {
  const found = new Map<string, Endpoint[]>()
  for (const endpoint of endpoints)
    for (const address of endpoint.addresses) found.set(address, [...(found.get(address) ?? []), endpoint])
  return found
}

const withPort = new Set(['tcp', 'udp', 'sctp'])

/** True when a port of a rule fits a flow. A name is looked up at the destination, for the protocol of the rule. */
function fitsPort(asked: PolicyPort, { protocol, port }: Flow, destination: Endpoint | undefined): boolean {
  if (protocolOf(asked) !== protocol || !withPort.has(protocol) || port === null) return false
  if (asked.port === undefined) return true
  if (typeof asked.port === 'number') return asked.port <= port && port <= (asked.end_port ?? asked.port)
  const named = destination?.ports.filter(({ name, protocol: of }) => name === asked.port && of === protocol) ?? []
  return named.some((one) => one.port === port)
}

/** Ports of a gateway: DNS, and DHCP of both families. */
const gatewayPorts: readonly { protocol: string; port: number }[] = [
  { protocol: 'udp', port: 53 },
  { protocol: 'tcp', port: 53 },
  { protocol: 'udp', port: 67 },
  { protocol: 'udp', port: 547 },
]

/**
 * Judges new connections by the semantics of networking.k8s.io/v1: egress of the source and ingress of the destination
 * must both allow. Answers of an allowed connection follow it and are not asked about.
 * @param holders the endpoints of each address, for a caller that keeps them
 */
export function judgeOf(
  policies: readonly Policy[],
  world: World,
  holders: ReadonlyMap<string, Endpoint[]> = byAddress(world.endpoints),
): Judge {
  const kept = { Ingress: new Map<Endpoint, Policy[]>(), Egress: new Map<Endpoint, Policy[]>() }
  const isolatingOf = (endpoint: Endpoint, direction: Direction): Policy[] => {
    const known = kept[direction].get(endpoint)
    if (known) return known
    const found = endpoint.isLocal ? isolating(policies, endpoint, direction) : []
    kept[direction].set(endpoint, found)
    return found
  }
  /** The endpoint of an address that no other has. */
  const only = (address: string) => {
    const all = holders.get(address) ?? []
    return all.length === 1 ? all[0] : undefined
  }

  /** The first rule that allows a flow. */
  const ruleFor = (by: Policy[], direction: Direction, flow: Flow, destination: Endpoint | undefined) => {
    const other = direction === 'Egress' ? flow.to : flow.from
    const peer = only(other)
    for (const policy of by)
      for (const [index, { peers, ports }] of rulesOf(policy, direction).entries()) {
        const isPeer = (one: Peer) =>
          one.ip_block
            ? isInBlock(one.ip_block, other)
            : peer !== undefined && peerSelects(one, scopeOf(policy), peer, world.scopes)
        if (peers.length > 0 && !peers.some(isPeer)) continue
        if (ports.length > 0 && !ports.some((port) => fitsPort(port, flow, destination))) continue
        return { policy: policy.id, rule: index }
      }
    return null
  }

  const sideOf = (direction: Direction, flow: Flow): Side => {
    const [self, other] = direction === 'Egress' ? [flow.from, flow.to] : [flow.to, flow.from]
    const all = holders.get(self) ?? []
    const by = [...new Set(all.flatMap((endpoint) => isolatingOf(endpoint, direction)))]
    const side = (allowed: boolean, reason: Reason, rule: Side['allowed_by'] = null): Side => ({
      allowed,
      reason,
      endpoint: all.length === 1 ? all[0]!.id : null,
      isolated_by: by.map(({ id }) => id),
      allowed_by: rule,
    })
    if (by.length === 0) return side(true, 'open')
    if (direction === 'Ingress' && world.own.has(other)) return side(true, 'own node')
    if (direction === 'Egress' && isOfGateway(flow, world.gateways)) return side(true, 'gateway')
    if (all.length > 1) return side(false, 'disputed')
    const rule = ruleFor(by, direction, flow, direction === 'Egress' ? only(other) : all[0])
    return rule ? side(true, 'rule', rule) : side(false, 'no rule')
  }

  return (flow) => {
    const [egress, ingress] = [sideOf('Egress', flow), sideOf('Ingress', flow)]
    return { allowed: egress.allowed && ingress.allowed, egress, ingress }
  }
}

const isOfGateway = ({ from, to, protocol, port }: Flow, gateways: readonly Gateway[]) =>
  gatewayPorts.some((one) => one.protocol === protocol && one.port === port) &&
  gateways.some(({ address, subnet }) => address === to && isInBlock({ cidr: subnet }, from))

/** Judges one flow. */
export const judge = (policies: readonly Policy[], world: World, flow: Flow): Verdict => judgeOf(policies, world)(flow)

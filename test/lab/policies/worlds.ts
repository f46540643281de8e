import fc from 'fast-check'
import type { Peer, PolicyPort, PolicySpec, Selector } from '#shared/contracts/container/network-policies.ts'
import type { Endpoint, Flow, Policy, World } from '../../../services/container/policies/world.ts'

/** Small worlds in which policies, endpoints and flows often concern each other. */
const keys = ['app', 'tier']
const values = ['a', 'b', 'c']
const pools = ['red', 'blue']
const portNumbers = [79, 80, 81, 443, 8080]

const label = fc.record({ key: fc.constantFrom(...keys), value: fc.constantFrom(...values) })
const labels = fc
  .array(label, { maxLength: 2 })
  .map((all) => Object.fromEntries(all.map(({ key, value }) => [key, value])))
const requirement = fc.oneof(
  fc.record({
    key: fc.constantFrom(...keys),
    operator: fc.constantFrom('In' as const, 'NotIn' as const),
    values: fc.array(fc.constantFrom(...values), { minLength: 1, maxLength: 2 }),
  }),
  fc.record({ key: fc.constantFrom(...keys), operator: fc.constantFrom('Exists' as const, 'DoesNotExist' as const) }),
)
const selector: fc.Arbitrary<Selector> = fc.record(
  { match_labels: labels, match_expressions: fc.array(requirement, { maxLength: 2 }) },
  { requiredKeys: [] },
)

/** Blocks with exceptions inside: nested, adjacent, and of both families. */
type Block = NonNullable<Peer['ip_block']>
const block = fc.constantFrom<Block[]>(
  { cidr: '10.88.0.0/29' },
  { cidr: '10.88.0.0/29', except: ['10.88.0.3/32'] },
  { cidr: '10.88.0.0/29', except: ['10.88.0.2/31', '10.88.0.4/31', '10.88.0.4/32'] },
  { cidr: '10.88.0.3/32' },
  { cidr: '0.0.0.0/0' },
  { cidr: '0.0.0.0/0', except: ['10.88.0.0/16'] },
  { cidr: '::/0' },
  { cidr: 'fd88::/64', except: ['fd88::2/127'] },
  { cidr: 'fd88::3/128' },
)
const peer: fc.Arbitrary<Peer> = fc.oneof(
  fc.record({ pod_selector: selector }),
  fc.record({ namespace_selector: selector }),
  fc.record({ pod_selector: selector, namespace_selector: selector }),
  fc.record({ pod_selector: selector, namespace_selector: fc.constant(null) }),
  fc.record({ ip_block: block }),
)
const protocol = fc.constantFrom('TCP' as const, 'UDP' as const, 'SCTP' as const)
const port: fc.Arbitrary<PolicyPort> = fc.oneof(
  fc.record({ protocol }, { requiredKeys: [] }),
  fc.record({ protocol, port: fc.constantFrom(...portNumbers) }, { requiredKeys: ['port'] }),
  fc.record({ protocol, port: fc.constantFrom(79, 80), end_port: fc.constantFrom(80, 81, 443) }),
  fc.record({ protocol, port: fc.constantFrom('http', 'dns', 'nowhere') }, { requiredKeys: ['port'] }),
)
const peers = fc.array(peer, { maxLength: 3 })
const ports = fc.array(port, { maxLength: 3 })

const spec: fc.Arbitrary<PolicySpec> = fc.record(
  {
    resource_pool: fc.constantFrom(null, null, ...pools),
    pod_selector: fc.oneof(fc.constant({}), selector),
    policy_types: fc.constantFrom(['Ingress' as const], ['Egress' as const], ['Ingress' as const, 'Egress' as const]),
    ingress: fc.array(fc.record({ from: peers, ports }, { requiredKeys: [] }), { maxLength: 2 }),
    egress: fc.array(fc.record({ to: peers, ports }, { requiredKeys: [] }), { maxLength: 2 }),
  },
  { requiredKeys: ['resource_pool'] },
)
const scopeLabels = fc.record({ red: labels, blue: labels }).map((all) => new Map(Object.entries(all)))

const namedPort = fc.record({
  name: fc.constantFrom('http', 'dns'),
  protocol: fc.constantFrom('tcp', 'udp'),
  port: fc.constantFrom(...portNumbers),
})
/** Endpoints number 2 to 5, with an address of each family or only one. */
export const endpointOf = (
  number: number,
  isLocal: fc.Arbitrary<boolean> = fc.constant(true),
): fc.Arbitrary<Endpoint> =>
  fc.record({
    id: fc.constant(`c${number}`),
    scopes: fc.constantFrom([], [], ['red'], ['blue'], ['red', 'blue']),
    labels,
    addresses: fc.constantFrom(
      [`10.88.0.${number}`, `fd88::${number}`],
      [`10.88.0.${number}`, `fd88::${number}`],
      [`10.88.0.${number}`],
    ),
    ports: fc.array(namedPort, { maxLength: 2 }),
    isLocal,
    nics: fc.constant([]),
  })

/** Names that a ruleset must not take over: words of nftables, and long ones. */
const ids = ['fwd', 'drop', 'a'.repeat(250), 'policy']
export const policies: fc.Arbitrary<Policy[]> = fc
  .array(spec, { minLength: 1, maxLength: ids.length })
  .map((all) => all.map((one, index) => ({ ...one, id: ids[index]! })))

export const gateway = '10.88.0.1'
export const outside = { 4: '203.0.113.9', 6: '2001:db8::9' }

export const worlds: fc.Arbitrary<World> = fc
  .record({
    endpoints: fc.tuple(...[2, 3, 4, 5].map((number) => endpointOf(number, fc.boolean()))),
    scopes: scopeLabels,
    shared: fc.integer({ min: 0, max: 9 }),
  })
  .map(({ endpoints, scopes, shared }) => ({
    // Now and then two endpoints have one address.
    endpoints: endpoints.map((one, index) => (index === shared ? { ...one, addresses: ['10.88.0.2'] } : one)),
    scopes,
    own: new Set([gateway, '192.0.2.1']),
    gateways: [{ address: gateway, subnet: '10.88.0.0/16' }],
  }))

const ends = [2, 3, 4, 5].flatMap((number) => [`10.88.0.${number}`, `fd88::${number}`])
const addresses = [...ends, ...ends, gateway, '192.0.2.1', outside[4], outside[6]]
export const flows: fc.Arbitrary<Flow> = fc
  .record({
    from: fc.constantFrom(...addresses),
    to: fc.constantFrom(...addresses),
    protocol: fc.constantFrom('tcp', 'tcp', 'udp', 'sctp', 'icmp'),
    port: fc.constantFrom(...portNumbers, 53, 67),
  })
  .map(({ protocol: of, port: number, ...rest }) => ({ ...rest, protocol: of, port: of === 'icmp' ? null : number }))

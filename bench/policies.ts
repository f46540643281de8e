import type { Host } from '#shared/nodes/host/host.ts'
import { type Enforcer, enforcerOn } from '../services/container/policies/enforcer.ts'
import type { Endpoint, Policy } from '../services/container/policies/world.ts'
import { canRun, startLab, startTalker } from '../test/lab/policies/namespaces.ts'
import { timed } from './demand.ts'
import { median, type Row } from './figures.ts'

const many = 10_000
const rounds = 15
const packets = 5000

const addressOf = (index: number) => `10.88.${(index >> 8) + 1}.${index & 255}`
const endpointOf = (index: number, group: number): Endpoint => ({
  id: `c${index}`,
  scopes: [],
  labels: { app: `app${group}` },
  addresses: [addressOf(index)],
  ports: [],
  nics: [],
  isLocal: true,
})
/** The policy of one group: others reach one port of it. */
const policyOf = (index: number, port: number): Policy => ({
  id: `p${index}`,
  resource_pool: null,
  pod_selector: { match_labels: { app: `app${index}` } },
  ingress: [{ from: [{ ip_block: { cidr: '10.88.0.0/16' } }], ports: [{ port }] }],
})
const all = <T>(count: number, make: (index: number) => T & { id: string }) =>
  new Map(Array.from({ length: count }, (_, index) => make(index)).map((one) => [one.id, one]))

const surroundings = { scopes: new Map(), own: new Set<string>(), gateways: [] }

/** Isolated containers: in a hundred groups with a policy each, or each with a policy of its own. */
async function filled(node: Host, containers: number, policies: number): Promise<Enforcer> {
  const enforcer = enforcerOn(node, surroundings)
  await enforcer.rewrite()
  const endpoints = all(containers, (index) => endpointOf(index, index % policies))
  await enforcer.change({ policies: all(policies, (index) => policyOf(index, 8000)), endpoints })
  await enforcer.change({ endpoints: new Map([['own', { ...endpointOf(containers + 1, -1), id: 'own' }]]) })
  return enforcer
}

/** A change of one container's policy, in turns with a spawn of nft. Milliseconds. */
async function changes(node: Host, enforcer: Enforcer): Promise<{ change: number; spawn: number }> {
  const found: { change: number; spawn: number }[] = []
  for (let round = 0; round < rounds; round++) {
    const spawn = await timed(() => node.runChecked('nft', ['-v']))
    const policies = new Map([['p-1', policyOf(-1, 9000 + round)]])
    found.push({ spawn, change: await timed(() => enforcer.change({ policies })) })
  }
  return { change: median(found.map(({ change }) => change)), spawn: median(found.map(({ spawn }) => spawn)) }
}

/** Cost of a policy's change, and of the filter for packets, with few containers and with many. */
export async function benchPolicies(): Promise<Row[]> {
  if (!(await canRun())) throw new Error('This benchmark needs root, nftables, conntrack, iproute2, busybox and Python')
  const lab = await startLab()
  try {
    await lab.attach('a', ['10.88.0.2'])
    await lab.attach('b', ['10.88.0.3'])
    const [a, b] = [await startTalker(lab.inside('a')), await startTalker(lab.inside('b'))]
    await b.serve(80)
    const ofFew = await changes(lab.node, await filled(lab.node, 10, 10))
    const ofManyPolicies = await changes(lab.node, await filled(lab.node, many, many))
    const enforcer = await filled(lab.node, many, 100)
    const ofMany = await changes(lab.node, enforcer)
    // The receiver is isolated too, so that its packets pass all of the filter.
    await enforcer.change({
      policies: new Map([
        ['b', { ...policyOf(many, 80), id: 'b', ingress: [{ from: [{ ip_block: { cidr: '10.88.0.0/16' } }] }] }],
      ]),
      endpoints: new Map([['b', { ...endpointOf(many, many), addresses: ['10.88.0.3'] }]]),
    })
    const trips: { with: number; without: number }[] = []
    for (let round = 0; round < 7; round++) {
      await enforcer.rewrite()
      const filtered = await a.rounds('10.88.0.3', 80, packets)
      await enforcer.remove()
      trips.push({ with: filtered, without: await a.rounds('10.88.0.3', 80, packets) })
    }
    await a.end()
    await b.end()
    const trip = median(trips.map((one) => one.with / one.without))
    const inSpawns = ({ change, spawn }: typeof ofFew) => change / spawn
    const what = 'policy change for one container, in spawns of nft'
    return [
      { what: `${what}: 10 containers`, value: inSpawns(ofFew), unit: '×' },
      { what: `${what}: 10,000 with 100 policies`, value: inSpawns(ofMany), unit: '×', below: 3 },
      { what: `${what}: 10,000 with a policy each`, value: inSpawns(ofManyPolicies), unit: '×' },
      { what: 'a spawn of nft', value: ofMany.spawn, unit: 'ms' },
      { what: 'round trip with 10,000 isolated containers, to one without', value: trip, unit: '×', below: 1.15 },
    ]
  } finally {
    await lab.down()
  }
}

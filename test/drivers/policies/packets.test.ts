import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Labels } from '#shared/contracts/container/network-policies.ts'
import { judgeOf } from '../../../services/container/policies/judge.ts'
import { applyText } from '../../../services/container/policies/nft/kernel.ts'
import { rulesetOf } from '../../../services/container/policies/nft/ruleset.ts'
import { changeText, wholeText } from '../../../services/container/policies/nft/text.ts'
import type { Endpoint, Flow, Policy, World } from '../../../services/container/policies/world.ts'
import { canRun, type Lab, type Packet, type Probe, startLab, startProbe } from '../../lab/policies/namespaces.ts'
import { endpointOf, outside, policies } from '../../lab/policies/worlds.ts'

const isThere = await canRun()

let lab: Lab
const probes = new Map<string, Probe>()
const ends: Record<string, { 4: string; 6: string }> = {
  ...Object.fromEntries([2, 3, 4, 5].map((number) => [`c${number}`, { 4: `10.88.0.${number}`, 6: `fd88::${number}` }])),
  outside,
  '': { 4: '10.88.0.1', 6: 'fd88::1' },
}
const names = Object.keys(ends)

beforeAll(async () => {
  if (!isThere) return
  lab = await startLab()
  for (const name of names.filter((one) => one.startsWith('c'))) await lab.attach(name, Object.values(ends[name]!))
  for (const name of names) probes.set(name, await startProbe(lab.inside(name)))
})

afterAll(async () => {
  for (const probe of probes.values()) await probe.end()
  await lab?.down()
})

const ports = { tcp: [53, 79, 80, 81, 443, 8080], udp: [53, 67, 80, 81, 443], sctp: [80, 443] }

type Probed = { flow: Flow; packet: Packet; by: string; at: string }

/** One packet of every protocol and port from everybody to everybody, but not outside to the node, which is no affair of policies. */
function everyFlow(): Probed[] {
  const found: Probed[] = []
  for (const by of names)
    for (const at of names)
      for (const family of [4, 6] as const) {
        if (by === at || (!by.startsWith('c') && !at.startsWith('c'))) continue
        const [from, to] = [ends[by]![family], ends[at]![family]]
        const ping = family === 4 ? 'icmp' : 'icmpv6'
        const asked: [string, number | null][] = Object.entries(ports).flatMap(([protocol, all]) =>
          all.map((port): [string, number] => [protocol, port]),
        )
        for (const [protocol, port] of [...asked, [ping, null] as const]) {
          const packet: Packet = [from, to, protocol, 20_000 + found.length, port ?? 0]
          found.push({ flow: { from, to, protocol, port }, packet, by, at })
        }
      }
  return found
}

/** The flows whose packets arrived. */
async function arriving(probed: Probed[]): Promise<Set<Probed>> {
  await lab.node.runChecked('conntrack', ['-F'])
  await Promise.all([...probes.values()].map((probe) => probe.heard()))
  for (const [name, probe] of probes)
    await probe.send(probed.filter(({ by }) => by === name).map(({ packet }) => packet))
  const arrived = new Map<string, Set<string>>()
  await Promise.all(
    [...probes].map(async ([name, probe]) =>
      arrived.set(name, new Set((await probe.heard()).map((one) => one.join()))),
    ),
  )
  return new Set(
    probed.filter(({ at, packet: [from, , protocol, port] }) => arrived.get(at)!.has([from, protocol, port].join())),
  )
}

const own = new Set(['10.88.0.1', 'fd88::1', '203.0.113.1', '2001:db8::1'])
const gateways = [
  { address: '10.88.0.1', subnet: '10.88.0.0/16' },
  { address: 'fd88::1', subnet: 'fd88::/64' },
]
const tell = ({ flow: { from, to, protocol, port } }: Probed) => `${from} > ${to} ${protocol} ${port}`

async function expectPacketsAsJudged(
  all: readonly Policy[],
  world: World,
): Promise<{ allowed: number; denied: number }> {
  const probed = everyFlow()
  const judge = judgeOf(all, world)
  const allowed = probed.filter(({ flow }) => judge(flow).allowed)
  const arrived = await arriving(probed)
  const told = (some: Iterable<Probed>) => [...some].map(tell).toSorted()
  expect(told(arrived)).toEqual(told(allowed))
  return { allowed: allowed.length, denied: probed.length - allowed.length }
}

const endpoints = fc.tuple(...[2, 3, 4, 5].map((number) => endpointOf(number)))
const cases = fc.record({
  all: policies,
  endpoints: endpoints.map((some) =>
    some.map((one): Endpoint => ({ ...one, addresses: Object.values(ends[one.id]!) })),
  ),
  red: fc.constantFrom<Labels>({}, { app: 'a' }),
})

test.runIf(isThere)('packets go where the evaluator says, for policies of every kind, in IPv4 and IPv6', async () => {
  const seen = { allowed: 0, denied: 0 }
  await fc.assert(
    fc.asyncProperty(cases, async ({ all, endpoints: some, red }) => {
      const world: World = { endpoints: some, scopes: new Map([['red', red]]), own, gateways }
      const rules = rulesetOf(world.scopes)
      rules.update({
        policies: new Map(all.map((one) => [one.id, one])),
        endpoints: new Map(some.map((one) => [one.id, one])),
      })
      await applyText(lab.node, wholeText(rules.tables, 'test'))
      const { allowed, denied } = await expectPacketsAsJudged(all, world)
      seen.allowed += allowed
      seen.denied += denied
      // The same by a change: the first policy goes, and comes back.
      const [first] = all as [Policy]
      const without = rules.update({ policies: new Map([[first.id, null]]) })
      await applyText(lab.node, changeText(without.differences(), rules.tables))
      await expectPacketsAsJudged(all.slice(1), world)
    }),
    { numRuns: 12, ...(process.env['SEED'] && { seed: Number(process.env['SEED']) }) },
  )
  expect(seen.denied).toBeGreaterThan(500)
  expect(seen.allowed).toBeGreaterThan(500)
})

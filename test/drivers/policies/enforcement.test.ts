import { afterAll, beforeAll, expect, test } from 'vitest'
import type { PolicySpec } from '#shared/contracts/container/network-policies.ts'
import { enforcerOn } from '../../../services/container/policies/enforcer.ts'
import { refusalOf } from '../../../services/container/policies/nft/kernel.ts'
import { readCounters, readDrops } from '../../../services/container/policies/nft/listing.ts'
import { counterOf } from '../../../services/container/policies/nft/lines.ts'
import type { Endpoint, Policy } from '../../../services/container/policies/world.ts'
import { canRun, type Lab, startLab, startTalker, type Talker } from '../../lab/policies/namespaces.ts'

const isThere = await canRun()

let lab: Lab
let talkers: { a: Talker; b: Talker; c: Talker; outside: Talker }
const addresses = { a: ['10.88.0.2', 'fd88::2'], b: ['10.88.0.3', 'fd88::3'], c: ['10.88.0.4', 'fd88::4'] }
const [b4, b6] = addresses.b as [string, string]

beforeAll(async () => {
  if (!isThere) return
  lab = await startLab()
  for (const [name, own] of Object.entries(addresses)) await lab.attach(name, own)
  const start = (name: string) => startTalker(lab.inside(name))
  talkers = { a: await start('a'), b: await start('b'), c: await start('c'), outside: await start('outside') }
  await talkers.b.serve(80)
  await talkers.b.serve(81)
})

afterAll(async () => {
  for (const talker of Object.values(talkers ?? {})) await talker.end()
  await lab?.down()
})

const endpoint = (id: keyof typeof addresses, labels = {}): Endpoint => ({
  id,
  scopes: [],
  labels: { name: id, ...labels },
  addresses: addresses[id],
  ports: [],
  isLocal: true,
  nics: [{ port: `p${id}`, addresses: addresses[id] }],
})
const everybody = () => new Map([endpoint('a'), endpoint('b'), endpoint('c')].map((one) => [one.id, one]))
const surroundings = { scopes: new Map(), own: new Set(['10.88.0.1', 'fd88::1']), gateways: [] }
const policyFor = (name: string, spec: Omit<PolicySpec, 'resource_pool' | 'pod_selector'>, id = 'policy'): Policy => ({
  id,
  resource_pool: null,
  pod_selector: { match_labels: { name } },
  ...spec,
})
const only = (...policies: Policy[]) => new Map(policies.map((one) => [one.id, one]))
const fromA = (...ports: number[]) =>
  policyFor('b', {
    ingress: [
      {
        from: [{ pod_selector: { match_labels: { name: 'a' } } }],
        ports: ports.flatMap((port) => [{ port }, { port, protocol: 'UDP' as const }]),
      },
    ],
  })

/** Rules of a test, removed at its end. */
async function withRules(work: (enforcer: ReturnType<typeof enforcerOn>) => Promise<void>): Promise<void> {
  const enforcer = enforcerOn(lab.node, surroundings)
  try {
    await enforcer.rewrite()
    await enforcer.change({ endpoints: everybody() })
    await work(enforcer)
  } finally {
    await enforcer.remove()
  }
}

test.runIf(isThere)(
  'connections that a change forbids end, in both directions; those that it allows lose nothing',
  () =>
    withRules(async (enforcer) => {
      await enforcer.change({ policies: only(fromA(80, 81)) })
      const { a } = talkers
      const all = [80, 81].flatMap((port) =>
        [b4, b6].flatMap((address) => (['tcp', 'udp'] as const).map((protocol) => ({ port, address, protocol }))),
      )
      const nameOf = ({ port, address, protocol }: (typeof all)[number]) => `${protocol} ${address} ${port}`
      for (const one of all)
        expect(await a.open(nameOf(one), one.protocol, one.address, one.port), nameOf(one)).toBe(true)

      const ended = await enforcer.change({ policies: only(fromA(80)) })
      expect(ended.map(({ from, protocol, port }) => `${protocol} ${from} ${port}`).toSorted()).toEqual(
        ['tcp', 'udp'].flatMap((protocol) => addresses.a.map((from) => `${protocol} ${from} 81`)),
      )
      for (const one of all) expect(await a.say(nameOf(one)), nameOf(one)).toBe(one.port === 80)
      expect(await a.open('again', 'tcp', b4, 81)).toBe(false)

      // A rule that allows again is for new connections at once.
      await enforcer.change({ policies: only(fromA(80, 81)) })
      expect(await a.open('again', 'tcp', b4, 81)).toBe(true)
      expect(await a.open('again', 'udp', b6, 81)).toBe(true)
    }),
)

test.runIf(isThere)('an update under load loses no allowed datagram and lets no other through', () =>
  withRules(async (enforcer) => {
    await talkers.b.count([7001, 7002])
    await enforcer.change({ policies: only(fromA(7001)) })
    const flooding = talkers.a.flood(b4, [7001, 7002], { rate: 14_000, seconds: 4 })
    let isFlooding = true
    const flooded = flooding.finally(() => (isFlooding = false))
    let changes = 0
    while (isFlooding) {
      // Rules of the receiver and of others are exchanged, and now and then all of them.
      const next = changes % 2 === 0 ? fromA(7001, 7003) : fromA(7001)
      await enforcer.change({ policies: only(next, policyFor('c', { egress: [] }, `other${changes % 3}`)) })
      if (changes % 5 === 4) await enforcer.rewrite()
      changes++
    }
    const sent = await flooded
    // A change takes up to a second on a slow machine.
    expect(changes).toBeGreaterThan(2)
    expect(sent['7002']).toBeGreaterThan(1000)
    expect(await talkers.b.counted()).toEqual({ 7001: sent['7001'], 7002: 0 })
  }),
)

test.runIf(isThere)('a check tells the refusal of the kernel, and changes nothing', async () => {
  const before = (await lab.node.runChecked('nft', ['list', 'ruleset'])).stdout
  expect(await refusalOf(lab.node, 'add table inet checked\nadd chain inet checked one\n')).toBeNull()
  expect(await refusalOf(lab.node, 'add rule inet no_such_table forward drop\n')).toContain('No such file')
  expect(await refusalOf(lab.node, 'this is no rule')).toContain('syntax error')
  expect((await lab.node.runChecked('nft', ['list', 'ruleset'])).stdout).toBe(before)
})

test.runIf(isThere)('rules that others flush or change are put right', () =>
  withRules(async (enforcer) => {
    await enforcer.change({ policies: only(fromA(80)) })
    const harm: [string, string[], boolean][] = [
      ['everything', ['flush', 'ruleset'], false],
      ['the table', ['delete', 'table', 'inet', 'horcrux'], false],
      ['the rules of a chain', ['flush', 'chain', 'inet', 'horcrux', 'forward'], false],
      ['an element', ['delete', 'element', 'inet', 'horcrux', 'in4', `{ ${b4} }`], true],
    ]
    for (const [what, words, withElements] of harm) {
      expect(await enforcer.reconcile({ withElements }), what).toBe(false)
      await lab.node.runChecked('nft', words)
      expect(await enforcer.reconcile({ withElements }), what).toBe(true)
      expect(await talkers.c.open(what, 'tcp', b4, 80), what).toBe(false)
      expect(await talkers.a.open(what, 'tcp', b4, 80), what).toBe(true)
    }
  }),
)

test.runIf(isThere)('a changed table does not keep a policy from taking effect', () =>
  withRules(async (enforcer) => {
    await lab.node.runChecked('nft', ['flush', 'ruleset'])
    await enforcer.change({ policies: only(fromA(80)) })
    expect(await talkers.c.open('c', 'tcp', b4, 80)).toBe(false)
    expect(await talkers.a.open('a', 'tcp', b4, 80)).toBe(true)
  }),
)

test.runIf(isThere)('an endpoint cannot take the address of another, nor one of its own making', () =>
  withRules(async (enforcer) => {
    await enforcer.change({ policies: only(fromA(80)) })
    const c = lab.inside('c')
    for (const address of ['10.88.0.2/16', '10.88.0.77/16', 'fd88::77/64'])
      await c.runChecked('ip', ['address', 'add', address, 'dev', 'eth0'])
    await c.runChecked('ip', ['route', 'replace', `${b4}/32`, 'dev', 'eth0', 'src', '10.88.0.2'])
    expect(await talkers.c.open('as a', 'tcp', b4, 80)).toBe(false)
    for (const source of ['10.88.0.77', 'fd88::77'])
      expect(
        (await c.run('busybox', ['ping', '-c1', '-W1', '-I', source, source.includes(':') ? 'fd88::1' : '10.88.0.1']))
          .code,
      ).not.toBe(0)
    const spoofed = await lab.node.runChecked('nft', ['list', 'counter', 'bridge', 'horcrux', 'spoofed'])
    expect(spoofed.stdout).not.toMatch(/packets 0\b/)
    await c.runChecked('ip', ['route', 'delete', `${b4}/32`])
    for (const address of ['10.88.0.2/16', '10.88.0.77/16', 'fd88::77/64'])
      await c.runChecked('ip', ['address', 'delete', address, 'dev', 'eth0'])
    // Requests of the wrong address may still wait for an answer.
    expect((await c.run('busybox', ['ping', '-c3', '-W1', '10.88.0.1'])).code).toBe(0)
  }),
)

test.runIf(isThere)('an endpoint is isolated before its first packet', () =>
  withRules(async (enforcer) => {
    await enforcer.change({
      policies: only(policyFor('late', { policy_types: ['Egress'], egress: [] })),
      endpoints: new Map([
        ['late', { ...endpoint('c'), id: 'late', labels: { name: 'late' }, addresses: ['10.88.0.9'], nics: [] }],
      ]),
    })
    await lab.attach('late', ['10.88.0.9'])
    const late = await startTalker(lab.inside('late'))
    expect(await late.open('first', 'tcp', b4, 80)).toBe(false)
    await enforcer.change({ policies: new Map([['policy', null]]) })
    expect(await late.open('second', 'tcp', b4, 80)).toBe(true)
    await late.end()
  }),
)

test.runIf(isThere)('ports of a policy are those behind a port mapping, also for connections that are ended', () =>
  withRules(async (enforcer) => {
    const nat =
      'add table ip mapped; add chain ip mapped pre { type nat hook prerouting priority dstnat; }; add rule ip mapped pre tcp dport 8080 dnat to 10.88.0.3:80'
    await lab.node.runChecked('nft', [nat])
    const open = (port: number) =>
      only(policyFor('b', { ingress: [{ from: [{ ip_block: { cidr: '203.0.113.0/24' } }], ports: [{ port }] }] }))
    await enforcer.change({ policies: open(80) })
    expect(await talkers.outside.open('mapped', 'tcp', '203.0.113.1', 8080)).toBe(true)
    const ended = await enforcer.change({ policies: open(8080) })
    expect(ended).toMatchObject([{ from: '203.0.113.9', to: b4, port: 80 }])
    expect(await talkers.outside.say('mapped')).toBe(false)
    expect(await talkers.outside.open('again', 'tcp', '203.0.113.1', 8080)).toBe(false)
    await lab.node.runChecked('nft', ['delete', 'table', 'ip', 'mapped'])
  }),
)

test.runIf(isThere)('drops are counted by flow and by policy', () =>
  withRules(async (enforcer) => {
    await enforcer.change({ policies: only(fromA(80)) })
    expect(await talkers.c.open('tcp', 'tcp', b4, 80)).toBe(false)
    expect(await talkers.c.open('udp', 'udp', b6, 5000)).toBe(false)
    await lab.inside('c').run('busybox', ['ping', '-c1', '-W1', b4])
    const drops = await readDrops(lab.node)
    expect(
      drops
        .map(({ from, to, protocol, port, direction }) => [from, to, protocol, port, direction].join(' '))
        .toSorted(),
    ).toEqual([`10.88.0.4 ${b4} icmp  Ingress`, `10.88.0.4 ${b4} tcp 80 Ingress`, `fd88::4 ${b6} udp 5000 Ingress`])
    const counted = (await readCounters(lab.node)).get(counterOf('policy', 'Ingress'))
    expect(counted?.packets).toBe(drops.reduce((sum, { packets }) => sum + packets, 0))
  }),
)

test.runIf(isThere)('removing the rules leaves the firewall of the node as it was', async () => {
  await lab.node.runChecked('nft', ['add table ip theirs; add chain ip theirs c; add rule ip theirs c counter'])
  const list = async () => (await lab.node.runChecked('nft', ['list', 'ruleset'])).stdout
  const before = await list()
  await withRules(async (enforcer) => {
    await enforcer.change({ policies: only(fromA(80)) })
    expect(await list()).not.toBe(before)
  })
  expect(await list()).toBe(before)
  await lab.node.runChecked('nft', ['delete', 'table', 'ip', 'theirs'])
})

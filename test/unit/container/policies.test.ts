import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { PolicySpec } from '#shared/contracts/container/network-policies.ts'
import { merge, parseAddress, parseCidr, type Range, subtract } from '../../../services/container/policies/addresses.ts'
import { judge } from '../../../services/container/policies/judge.ts'
import { type Changes, rulesetOf } from '../../../services/container/policies/nft/ruleset.ts'
import { violationsOfPolicy } from '../../../services/container/policies/violations.ts'
import type { Endpoint, Policy } from '../../../services/container/policies/world.ts'
import { allowedByTheBook } from '../../lab/policies/by-the-book.ts'
import { endpointOf, flows, policies, worlds } from '../../lab/policies/worlds.ts'

const seed = process.env['SEED'] ? { seed: Number(process.env['SEED']) } : {}

test('a flow is judged as the text of Kubernetes says', () => {
  let denied = 0
  fc.assert(
    fc.property(policies, worlds, flows, (all, world, flow) => {
      const expected = allowedByTheBook(all, world, flow)
      if (!expected) denied++
      expect(judge(all, world, flow).allowed).toBe(expected)
    }),
    { numRuns: 3000, ...seed },
  )
  expect(denied).toBeGreaterThan(100)
})

const range = fc
  .tuple(fc.integer({ min: 0, max: 30 }), fc.integer({ min: 0, max: 30 }))
  .map(([a, b]): Range => ({ family: 4, first: BigInt(Math.min(a, b)), last: BigInt(Math.max(a, b)) }))
const numbers = (ranges: readonly Range[]) =>
  Array.from({ length: 31 }, (_, i) => BigInt(i)).filter((i) =>
    ranges.some(({ first, last }) => first <= i && i <= last),
  )

test('ranges are merged and subtracted as the sets of their addresses, and never overlap or touch', () => {
  fc.assert(
    fc.property(fc.array(range), fc.array(range), (from, without) => {
      const left = subtract(from, without)
      expect(numbers(merge(from))).toEqual(numbers(from))
      expect(numbers(left)).toEqual(numbers(from).filter((i) => !numbers(without).includes(i)))
      for (const some of [left, merge(from)])
        for (const [index, one] of some.slice(1).entries()) expect(one.first).toBeGreaterThan(some[index]!.last + 1n)
    }),
    seed,
  )
})

test('an address has one form, and no other text is one', () => {
  for (const text of ['10.1', '0x7f.0.0.1', '010.0.0.1', '10.0.0.256', '', 'a.b.c.d', 'fe80::1%eth0', '10.0.0.1 '])
    expect(parseAddress(text), text).toBeNull()
  for (const text of ['10.0.0.0/33', '10.0.0.0', '10.0.0.0/08', 'fd00::/129', '/8', '10.0.0.0/-1', '10.0.0.0/8/8'])
    expect(parseCidr(text), text).toBeNull()
  expect(parseAddress('FD00:0::1')).toEqual(parseAddress('fd00::1'))
  expect(parseCidr('10.1.2.3/8')).toEqual(parseCidr('10.0.0.0/8'))
})

test('a policy is refused with all its violations at once', () => {
  const spec: PolicySpec = {
    resource_pool: null,
    pod_selector: { match_expressions: [{ key: 'app', operator: 'In' }] },
    policy_types: ['Ingress', 'Ingress'],
    ingress: [
      {
        from: [
          {},
          { ip_block: { cidr: '10.0.0.0/8', except: ['10.0.0.0/8', '11.0.0.0/16', 'fd00::/64', 'x'] } },
          { ip_block: { cidr: '10.0.0.0/40' }, pod_selector: {} },
        ],
        ports: [
          { port: 90, end_port: 80 },
          { port: 'http', end_port: 90 },
          { end_port: 5 },
          { port: 'a--b' },
          { port: '80' },
        ],
      },
    ],
    egress: [
      { to: [{ namespace_selector: { match_expressions: [{ key: 'a', operator: 'Exists', values: ['b'] }] } }] },
    ],
  }
  expect(violationsOfPolicy(spec).map(({ field }) => field)).toEqual([
    'pod_selector.match_expressions.0.values',
    'policy_types',
    'ingress.0.ports.0.end_port',
    'ingress.0.ports.1.end_port',
    'ingress.0.ports.2.end_port',
    'ingress.0.ports.3.port',
    'ingress.0.ports.4.port',
    'ingress.0.from.0',
    'ingress.0.from.1.ip_block.except.0',
    'ingress.0.from.1.ip_block.except.1',
    'ingress.0.from.1.ip_block.except.2',
    'ingress.0.from.1.ip_block.except.3',
    'ingress.0.from.2.ip_block.cidr',
    'ingress.0.from.2.ip_block',
    'egress.0.to.0.namespace_selector.match_expressions.0.values',
  ])
})

type Step = { policy: Policy | null; endpoint: Endpoint | null; at: number }
const steps = fc.array(
  fc.record({
    policy: fc.option(
      policies.map((all): Policy | null => all[0] ?? null),
      { nil: null },
    ),
    endpoint: fc.option(
      fc.integer({ min: 2, max: 5 }).chain((number) => endpointOf(number, fc.boolean())),
      { nil: null },
    ),
    at: fc.integer({ min: 0, max: 3 }),
  }),
  { minLength: 1, maxLength: 12 },
)
const scopes = new Map([['red', { app: 'a' }]])

/** Some steps take a policy or an endpoint away, or give an endpoint the address of another. */
function changeOf({ policy, endpoint, at }: Step): Changes {
  const id = `p${at}`
  const moved = endpoint && at === 0 ? { ...endpoint, addresses: ['10.88.0.2'] } : endpoint
  return {
    policies: new Map([[id, policy && { ...policy, id }]]),
    endpoints: new Map([[endpoint?.id ?? `c${at + 2}`, moved]]),
  }
}

test('rules that were changed step by step are those that are made at once', () => {
  fc.assert(
    fc.property(steps, (all) => {
      const stepwise = rulesetOf(scopes)
      const last = { policies: new Map<string, Policy | null>(), endpoints: new Map<string, Endpoint | null>() }
      for (const step of all) {
        const change = changeOf(step)
        stepwise.update(change)
        for (const [id, policy] of change.policies ?? []) last.policies.set(id, policy)
        for (const [id, endpoint] of change.endpoints ?? []) last.endpoints.set(id, endpoint)
      }
      const atOnce = rulesetOf(scopes)
      atOnce.update(last)
      const plain = ({ tables: { chains, sets, maps, counters } }: typeof atOnce) => ({
        chains: Object.fromEntries(chains),
        sets: Object.fromEntries([...sets].map(([name, { elements }]) => [name, [...elements].toSorted()])),
        maps: Object.fromEntries(
          [...maps].filter(([, places]) => places.size > 0).map(([name, places]) => [name, Object.fromEntries(places)]),
        ),
        counters: [...counters.keys()].toSorted(),
      })
      expect(plain(stepwise)).toEqual(plain(atOnce))
    }),
    { numRuns: 400, ...seed },
  )
})

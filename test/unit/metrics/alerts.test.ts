import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Rule } from '#shared/contracts/metrics/alert-parts.ts'
import { announcementOf, isSilencedBy, stepOf } from '../../../services/metrics/alerts/judge.ts'
import { next, type State, verdictOf } from '../../../services/metrics/alerts/machine.ts'
import { subjectsOf } from '../../../services/metrics/alerts/scope.ts'
import { episodesOf } from '../../../services/metrics/alerts/try.ts'
import { at, outlet, record, silence } from './records.ts'
import { trendValue } from '../../../services/metrics/alerts/values.ts'

const scope = { nodes: [], tags: [], resource_pools: [] }
const rule = (given: Partial<Rule> = {}): Rule => ({
  id: 'r',
  name: 'r',
  description: '',
  enabled: true,
  severity: 'warning',
  condition: { kind: 'threshold', of: 'nodes', metric: 'cpu_percent', above: 90, clear: 80 },
  scope,
  for: 0,
  keep_firing_for: 0,
  missing: 'keep',
  built_in: false,
  created_at: at(0),
  updated_at: at(0),
  version: 1,
  ...given,
})

/** Runs a rule over one value for each ten seconds. @returns the seconds at which it fired and was resolved */
function run(given: Partial<Rule>, values: (number | null)[]): string[] {
  const judged = rule(given)
  const thresholds = judged.condition as { above: number; clear?: number }
  const told: string[] = []
  let state: State = { phase: 'ok' }
  for (const [index, value] of values.entries()) {
    const before: State = state
    state = next(before, verdictOf(value, thresholds), judged, index * 10_000)
    if (state.phase === 'firing' && before.phase !== 'firing') told.push(`fires ${index * 10}`)
    if (state.phase === 'ok' && before.phase === 'firing') told.push(`ends ${index * 10}`)
  }
  return told
}
const repeat = <T>(count: number, ...values: T[]) => Array.from({ length: count }, () => values).flat()

describe('an alert', () => {
  test('fires when its condition has held for all of its time, and ends when it does not hold', () => {
    expect(run({ for: 30 }, [95, 95, 95, 95, 95, 70])).toEqual(['fires 30', 'ends 50'])
    expect(run({ for: 30 }, [95, 95, 70, 95, 95, 95, 70])).toEqual([])
  })

  test('that flaps around its threshold does not fire with a time, and is told once with a time to keep firing', () => {
    expect(
      run({ for: 20, condition: { kind: 'threshold', of: 'vms', metric: 'x', above: 90 } }, repeat(50, 91, 89)),
    ).toEqual([])
    const kept = { keep_firing_for: 60, condition: { kind: 'threshold', of: 'vms', metric: 'x', above: 90 } as const }
    expect(run(kept, [...repeat(50, 91, 89), ...repeat(10, 10)])).toEqual(['fires 0', 'ends 1050'])
  })

  test('goes on between its two thresholds', () => {
    expect(run({}, [95, 85, 85, 85, 79])).toEqual(['fires 0', 'ends 40'])
    expect(run({}, [85, 85, 79])).toEqual([])
  })

  test('is left as it is by a missing value, or ended, or begun, as its rule says', () => {
    expect(run({}, [95, ...repeat(20, null), 10])).toEqual(['fires 0', 'ends 210'])
    expect(run({ missing: 'ok' }, [95, null])).toEqual(['fires 0', 'ends 10'])
    expect(run({ missing: 'alert', for: 20 }, [10, null, null, null, 10])).toEqual(['fires 30', 'ends 40'])
    expect(run({ for: 20 }, [95, null, null, null, 95])).toEqual(['fires 40'])
  })

  test('neither flaps nor misses on generated series', () => {
    const holds = fc.array(fc.tuple(fc.boolean(), fc.integer({ min: 1, max: 12 })), { minLength: 1, maxLength: 15 })
    fc.assert(
      fc.property(
        holds,
        fc.integer({ min: 0, max: 6 }),
        fc.integer({ min: 0, max: 6 }),
        (parts, forTicks, keepTicks) => {
          const values = parts.flatMap(([isBad, length]) => repeat(length, isBad ? 100 : 0))
          const told = run({ for: forTicks * 10, keep_firing_for: keepTicks * 10 }, values)
          expect(told.every((each, index) => each.startsWith(index % 2 === 0 ? 'fires' : 'ends'))).toBe(true)
          // It fires if and only if some stretch of bad values is longer than the time.
          const longest = longestRun(values)
          expect(told.length > 0).toBe(longest > forTicks)
        },
      ),
    )
  })
})

function longestRun(values: number[]): number {
  let [longest, current] = [0, 0]
  for (const value of values) {
    current = value > 90 ? current + 1 : 0
    longest = Math.max(longest, current)
  }
  return longest
}

describe('a trend', () => {
  const moments = Array.from({ length: 60 }, (_, index) => ({ seconds: index * 60, value: 50 + index }))

  test('is the growth for each second, or the value ahead', () => {
    const rate = { kind: 'rate', of: 'nodes', metric: 'x', over: 3600, above: 1 } as const
    expect(trendValue(rate, moments, 3600)).toBeCloseTo(1 / 60)
    const forecast = { kind: 'forecast', of: 'nodes', metric: 'x', over: 3600, within: 600, above: 100 } as const
    expect(trendValue(forecast, moments, 3540)).toBeCloseTo(119)
  })

  test('is missing while less than a third of its window was measured', () => {
    const rate = { kind: 'rate', of: 'nodes', metric: 'x', over: 36_000, above: 1 } as const
    expect(trendValue(rate, moments, 3600)).toBeNull()
    expect(trendValue({ ...rate, over: 3600 }, moments.slice(0, 2), 3600)).toBeNull()
  })
})

test('a rule that is tried tells the alerts of the past, and no absence before the first value', () => {
  const past = (values: (number | null)[]) => values.map((value, index) => ({ time: index * 60_000, value }))
  expect(episodesOf(rule({ for: 60 }), 'nodes/n', past([10, 95, 95, 95, 10, 95]))).toEqual([
    { subject: 'nodes/n', triggered_at: at(120), resolved_at: at(240) },
  ])
  const absence = rule({ condition: { kind: 'absence', of: 'nodes', metric: 'up', after: 90 } })
  expect(episodesOf(absence, 'nodes/n', past([null, null, null, 1, 1, null, null, null, 1]))).toEqual([
    { subject: 'nodes/n', triggered_at: at(360), resolved_at: at(480) },
  ])
})

test('the scope of a rule is nodes, tags and resource pools, and of VMs only those that run', () => {
  const vm = (id: string, node: string, tags: string[], status = 'running') =>
    [id, { id, name: id, node, handle: id, status, tags, memory: 1 }] as const
  const vms = new Map([
    vm('a', 'n1', ['web']),
    vm('b', 'n2', ['web', 'prod']),
    vm('c', 'n1', []),
    vm('d', 'n1', ['web'], 'stopped'),
  ])
  const container = {
    name: 'e',
    node: 'n1',
    runtime: 'docker',
    status: 'running',
    tags: ['web'],
    memory: null,
    cpus: null,
  }
  const containers = new Map([['e', { id: 'e', ...container }]])
  const found = (given: Partial<Rule['scope']>, of: 'vms' | 'containers' = 'vms') =>
    subjectsOf(
      { condition: { kind: 'threshold', of, metric: 'up', above: 1 }, scope: { ...scope, ...given } },
      { nodes: new Map(), vms, containers },
      (kind, id, pools) => kind === 'vm' && id === 'c' && pools.includes('p'),
    ).map(({ name }) => name)
  expect(found({})).toEqual(['a', 'b', 'c'])
  expect(found({ nodes: ['n1'] })).toEqual(['a', 'c'])
  expect(found({ tags: ['web'], nodes: ['n2'] })).toEqual(['b'])
  expect(found({ resource_pools: ['p'] })).toEqual(['c'])
  expect(found({ tags: ['web'] }, 'containers')).toEqual(['e'])
  expect(found({ resource_pools: ['p'] }, 'containers')).toEqual([])
})

describe('a message', () => {
  test('is due when an alert fires, and when one that was told is resolved; each outlet that takes its severity gets it', () => {
    const outlets = [
      outlet('all'),
      outlet('critical', { least_severity: 'critical' }),
      outlet('off', { enabled: false }),
    ]
    const fires = announcementOf(record({}), [], outlets, 0)
    expect(fires).toMatchObject({ event: 'triggered', set: { announced: 'triggered', waiting: ['all'] } })
    expect(fires!.set.deliveries!.map(({ id }) => id)).toEqual(['a.triggered.all'])
    expect(announcementOf(record({ announced: 'triggered' }), [], outlets, 0)).toBeNull()
    expect(announcementOf(record({ phase: 'resolved', announced: 'triggered' }), [], outlets, 0)).toMatchObject({
      event: 'resolved',
    })
    expect(announcementOf(record({ phase: 'pending' }), [], outlets, 0)).toBeNull()
  })

  test('is held back by a silence, which the alert remembers; at its end one message tells that it still fires', () => {
    const quiet = [silence({ tag: 'prod' })]
    const held = announcementOf(record({}), quiet, [outlet('x')], 50_000)
    expect(held).toEqual({ event: null, set: { silenced_by: ['s'] } })
    const remembered = record({ silenced_by: ['s'] })
    expect(announcementOf(remembered, quiet, [outlet('x')], 50_000)).toBeNull()
    expect(announcementOf(remembered, quiet, [outlet('x')], 100_000)).toMatchObject({ event: 'triggered' })
  })

  test('that was told before a silence is followed by one that it is resolved, after the silence', () => {
    const resolved = record({ phase: 'resolved', announced: 'triggered', silenced_by: ['s'] })
    expect(announcementOf(resolved, [silence({})], [], 50_000)).toBeNull()
    expect(announcementOf(resolved, [silence({})], [], 100_000)).toMatchObject({
      event: 'resolved',
      set: { active: undefined },
    })
    // One that was never told ends without a word.
    expect(announcementOf(record({ phase: 'resolved' }), [], [], 0)).toEqual({
      event: null,
      set: { active: undefined },
    })
  })

  test('is silenced by rule, subject, tag and severity together', () => {
    expect(isSilencedBy(silence({ subject: 'vms/*', severity: 'warning' }), record({}), 1)).toBe(true)
    expect(isSilencedBy(silence({ subject: 'vms/*', severity: 'critical' }), record({}), 1)).toBe(false)
    expect(isSilencedBy(silence({ subject: 'nodes/*' }), record({}), 1)).toBe(false)
    expect(isSilencedBy(silence({}), record({}), 100_000)).toBe(false)
  })

  test('an alert that fires again before its end was told goes on as the same', () => {
    const resolved = record({ phase: 'resolved', announced: 'triggered', resolved_at: at(10) })
    expect(stepOf(resolved, 'open', rule(), 20_000)).toMatchObject({ do: 'begin', set: { phase: 'firing' } })
    expect(stepOf(undefined, 'closed', rule(), 0)).toBeNull()
    expect(stepOf(record({ phase: 'pending', firing_since: null }), 'closed', rule({ for: 60 }), 0)).toEqual({
      do: 'remove',
    })
  })
})

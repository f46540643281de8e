import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { usualRules } from '#shared/contracts/cluster/usual-ha-rules.ts'
import type { RehearsalEvent } from '#shared/contracts/cluster/rehearsals.ts'
import { eventQueue, randomFrom } from '../../../services/cluster/rehearsal/queue.ts'
import { simulate, type Wish } from '../../../services/cluster/rehearsal/simulate.ts'
import { tellRehearsal } from '../../../services/cluster/rehearsal/tell.ts'
import type { HaStart, Sim, Start } from '../../../services/cluster/rehearsal/state.ts'
import { node, vm } from './worlds.ts'

const nodeIds = ['n0', 'n1', 'n2', 'n3', 'n4']
const ha = (more: Partial<HaStart> = {}, rules: Partial<HaStart['rules']> = {}): HaStart => ({
  tier: 5,
  rules: { ...usualRules, ...rules },
  hasLease: true,
  isGuarded: true,
  attempts: [],
  ...more,
})

function startOf(given: Partial<Start['world']>, protectedVms: Record<string, HaStart> = {}): Start {
  const world = { nodes: nodeIds.map((id) => node(id)), vms: [], pools: [], rules: [], ...given }
  return {
    world,
    remotes: new Set(world.nodes.map(({ id }) => id)),
    wanted: new Set(world.vms.filter(({ isRunning }) => isRunning).map(({ id }) => id)),
    ha: new Map(Object.entries(protectedVms)),
    bound: new Map(),
    bandwidthMib: 100,
    first: 'local',
  }
}
const rehearse = (start: Start, events: RehearsalEvent[], how: Partial<Wish> = {}) =>
  simulate(start, { events, seconds: 600, seed: 1, ...how })
type Kind = 'node_fails' | 'node_returns' | 'node_drains' | 'node_confirmed_off' | 'storage_fails'
const at = <K extends Kind>(kind: K, node: string, at_seconds = 0) => ({ kind, node, at_seconds })
const cut = (on: string, storage: boolean, at_seconds = 0) => ({
  kind: 'node_cut' as const,
  node: on,
  storage,
  at_seconds,
})
const placesOf = (sim: Sim) =>
  Object.fromEntries([...sim.vms.values()].map(({ id, guests }) => [id, [...guests.keys()].join(' ') || 'off']))

test('events come in the order of their times, and those of one time as they were added', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(20)), (times) => {
      const queue = eventQueue<number>()
      times.forEach((time, index) => queue.add(time, index))
      const wanted = times.map((time, index) => ({ atMs: time, what: index })).toSorted((a, b) => a.atMs - b.atMs)
      const seen = times.map(() => queue.next())
      expect(seen.map((each) => [each?.atMs, each?.what])).toEqual(wanted.map(({ atMs, what }) => [atMs, what]))
      expect(queue.next()).toBeUndefined()
    }),
  )
  const random = randomFrom(7)
  const drawn = Array.from({ length: 1000 }, random)
  expect(Math.min(...drawn)).toBeGreaterThanOrEqual(0)
  expect(Math.max(...drawn)).toBeLessThan(1)
  expect(new Set(drawn).size).toBeGreaterThan(990)
})

describe('a node that fails', () => {
  test('has its guests under HA started elsewhere after the deadline of their guards, and the others stay down', () => {
    const start = startOf({ vms: [vm('db', 'n0'), vm('plain', 'n0'), vm('far', 'n1')] }, { db: ha() })
    const sim = rehearse(start, [at('node_fails', 'n0')])
    expect(placesOf(sim)).toEqual({ db: expect.stringMatching(/^n[1-4]$/), plain: 'off', far: 'n1' })
    expect(sim.vms.get('db')!.downMs).toBeGreaterThan(35_000)
    expect(sim.timeline.map(({ text }) => text)).toContain("evidence that it does not run on 'n0': deadline")
    expect(sim.broken).toEqual([])
  })

  test('and is confirmed to be off has them started at once', () => {
    const start = startOf({ vms: [vm('db', 'n0')] }, { db: ha({}, { least_proof: 'node' }) })
    const alone = rehearse(start, [at('node_fails', 'n0')])
    expect([placesOf(alone)['db'], alone.vms.get('db')!.reason]).toEqual([
      'off',
      expect.stringContaining('confirm-off'),
    ])
    const told = rehearse(start, [at('node_fails', 'n0'), at('node_confirmed_off', 'n0', 60)])
    expect(placesOf(told)['db']).not.toBe('off')
  })

  test('and is back before a check has noticed it has its guests under HA started again there, by the budget', () => {
    for (let seed = 1; seed <= 40; seed++) {
      const start = startOf({ vms: [vm('db', 'n0')] }, { db: ha() })
      const sim = rehearse(start, [at('node_fails', 'n0', 10), at('node_returns', 'n0', 10.5)], { seed })
      expect(sim.timeline.map(({ text }) => text)).not.toContain('it does not answer')
      expect(placesOf(sim)).toEqual({ db: 'n0' })
      const never = startOf({ vms: [vm('db', 'n0')] }, { db: ha({}, { max_restarts: 0, max_relocations: 0 }) })
      const spent = rehearse(never, [at('node_fails', 'n0', 10), at('node_returns', 'n0', 10.5)], { seed })
      expect([placesOf(spent)['db'], spent.vms.get('db')!.reason]).toEqual(['off', expect.stringContaining('budget')])
    }
  })

  test('waits with most of its fellows, since the fault is then on the side of Horcrux', () => {
    const start = startOf({ vms: [vm('db', 'n0')] }, { db: ha() })
    const sim = rehearse(start, [cut('n0', false), cut('n1', false), cut('n2', false)])
    expect(placesOf(sim)).toEqual({ db: 'n0' })
    expect(sim.vms.get('db')!.reason).toContain('3 of 5 other nodes do not answer')
  })
})

test('the guard of a guest that is cut off ends it before it starts elsewhere', () => {
  for (const storage of [false, true])
    for (let seed = 1; seed <= 20; seed++) {
      const sim = rehearse(startOf({ vms: [vm('db', 'n0')] }, { db: ha() }), [cut('n0', storage)], { seed })
      expect(placesOf(sim)['db']).toMatch(/^n[1-4]$/)
      expect(sim.broken).toEqual([])
    }
})

describe('a guest that its guard has ended, since the storage of its node failed while that answered,', () => {
  test('starts on another node', () => {
    for (let seed = 1; seed <= 20; seed++) {
      const sim = rehearse(startOf({ vms: [vm('db', 'n0')] }, { db: ha() }), [at('storage_fails', 'n0')], { seed })
      expect(placesOf(sim)['db']).toMatch(/^n[1-4]$/)
      expect(sim.timeline.map(({ text }) => text)).toContain("evidence that it does not run on 'n0': node")
      expect(sim.broken).toEqual([])
    }
  })
  test('waits while no node has its storage, and starts where it was when that is back', () => {
    for (let seed = 1; seed <= 20; seed++) {
      const start = startOf({ vms: [vm('db', 'n0')] }, { db: ha() })
      const all = nodeIds.map((id) => at('storage_fails', id))
      const down = rehearse(start, all, { seed })
      expect([placesOf(down)['db'], down.vms.get('db')!.reason]).toEqual([
        'off',
        expect.stringMatching(/its guard .*does not yet; .*it does not reach its storage/),
      ])
      const back = rehearse(start, [...all, at('node_returns', 'n0', 120)], { seed })
      expect(placesOf(back)).toEqual({ db: 'n0' })
      expect(back.broken).toEqual([])
    }
  })
})

test('a deadline shorter than the time of a guard breaks the invariant of one writer: the rehearsal can see it', () => {
  const start = startOf({ vms: [vm('db', 'n0')] }, { db: ha() })
  // Its storage is lost while its guard would see the new epoch.
  const seen = Array.from({ length: 40 }, (_, seed) =>
    rehearse(start, [cut('n0', false), cut('n0', true, 20 + seed / 2)], { seed, deadlineMs: 2000 }),
  )
  expect(seen.some(({ broken }) => broken.some(({ invariant }) => invariant === 'one_writer'))).toBe(true)
})

test('guests that fail over at the same time do not overfill a node, though the first is still waiting for evidence', () => {
  // Room for one each.
  const nodes = [node('n0', { memoryMib: 2000 }), node('n1', { memoryMib: 1900 }), node('n2'), node('n3'), node('n4')]
  const vms = [vm('a', 'n0', { memoryMib: 900 }), vm('b', 'n0', { memoryMib: 900 }), vm('c', 'n1', { memoryMib: 900 })]
  const start = startOf({ nodes, vms }, { a: ha(), b: ha(), c: ha() })
  for (let seed = 1; seed <= 20; seed++) {
    const sim = rehearse(start, [at('node_fails', 'n0'), at('node_fails', 'n1', 20)], { seed })
    expect(sim.broken).toEqual([])
    expect(Object.values(placesOf(sim)).toSorted()).toEqual(['n2', 'n3', 'n4'])
  }
})

test('a drain moves all guests, and one without room moves none and says why', () => {
  const vms = [vm('a', 'n0', { memoryMib: 600 }), vm('b', 'n0', { memoryMib: 300 })]
  const roomy = rehearse(startOf({ vms }), [at('node_drains', 'n0')])
  expect(Object.values(placesOf(roomy))).not.toContain('n0')
  expect(roomy.vms.get('a')!.downMs).toBe(0)
  const nodes = [node('n0'), node('n1', { memoryMib: 500 })]
  const events = [at('node_drains', 'n0')]
  const tight = rehearse(startOf({ nodes, vms }), events)
  expect(placesOf(tight)).toEqual({ a: 'n0', b: 'n0' })
  expect(tight.vms.get('a')!.reason).toContain('impossible')
  const { conflicts } = tellRehearsal(tight, events, 1)
  expect(conflicts.flatMap(({ constraints }) => constraints.map(({ subject }) => subject))).toContain('n1')
})

/** Worlds with VMs under HA of all kinds, and events in any order. */
const schedules = fc.record({ count: fc.integer({ min: 1, max: 8 }), seed: fc.nat(2 ** 31) }).chain(({ count, seed }) =>
  fc.record({
    seed: fc.constant(seed),
    rooms: fc.array(fc.integer({ min: 2, max: 12 }), { minLength: 5, maxLength: 5 }),
    vms: fc.array(
      fc.record({
        on: fc.constantFrom(...nodeIds),
        units: fc.integer({ min: 1, max: 4 }),
        ha: fc.constantFrom('guarded', 'guarded', 'no lease', 'node proof', 'none'),
        tier: fc.integer({ min: 1, max: 3 }),
        relocations: fc.integer({ min: 0, max: 3 }),
      }),
      { minLength: count, maxLength: count },
    ),
    apart: fc.boolean(),
    events: fc.array(
      fc.record({
        kind: fc.constantFrom(
          'node_fails',
          'node_cut',
          'storage_cut',
          'storage_fails',
          'node_returns',
          'node_drains',
          'confirmed',
        ),
        node: fc.constantFrom(...nodeIds),
        at_seconds: fc.integer({ min: 0, max: 300 }),
      }),
      { minLength: 1, maxLength: 10 },
    ),
  }),
)
type Schedule = typeof schedules extends fc.Arbitrary<infer T> ? T : never

function worldOf({ vms, rooms, apart }: Schedule): Start {
  const loads = (on: string) => vms.reduce((sum, each) => sum + (each.on === on ? each.units : 0), 0)
  const nodes = nodeIds.map((id, index) => node(id, { memoryMib: 100 * Math.max(rooms[index]!, loads(id)) }))
  const machines = vms.map(({ on, units }, index) => vm(`v${index}`, on, { memoryMib: units * 100 }))
  const isApart = apart && vms.length > 1 && vms[0]!.on !== vms[1]!.on
  const rules = isApart ? [{ id: 'apart', kind: 'apart' as const, vms: ['v0', 'v1'] }] : []
  const protectedVms = Object.fromEntries(
    vms.flatMap((each, index) =>
      each.ha === 'none'
        ? []
        : [
            [
              `v${index}`,
              ha(
                { tier: each.tier, hasLease: each.ha !== 'no lease', isGuarded: each.ha !== 'no lease' },
                {
                  max_relocations: each.relocations,
                  ...(each.ha === 'node proof' && { least_proof: 'node' as const }),
                },
              ),
            ] as const,
          ],
    ),
  )
  return startOf({ nodes, vms: machines, rules }, protectedVms)
}

/** The events of a schedule; a user confirms only nodes that are off. */
function eventsOf({ events }: Schedule): RehearsalEvent[] {
  const off = new Set<string>()
  return events
    .toSorted((a, b) => a.at_seconds - b.at_seconds)
    .flatMap(({ kind, node: on, at_seconds }): RehearsalEvent[] => {
      if (kind === 'node_cut' || kind === 'storage_cut') return [cut(on, kind === 'storage_cut', at_seconds)]
      if (kind === 'confirmed') return off.has(on) ? [at('node_confirmed_off', on, at_seconds)] : []
      if (kind === 'node_fails') off.add(on)
      if (kind === 'node_returns') off.delete(on)
      return [at(kind as 'node_fails', on, at_seconds)]
    })
}

/** A node that boots within a second after guests have started on it. */
const bootsAtOnce: Schedule = {
  seed: 2_123_612_426,
  rooms: [2, 2, 2, 9, 2],
  apart: false,
  vms: [1, 0, 0, 0, 0, 0].map((relocations) => ({ on: 'n0', units: 1, ha: 'guarded', tier: 1, relocations })),
  events: [
    at('storage_fails', 'n0', 4),
    at('node_fails', 'n0', 41),
    at('node_fails', 'n3', 44),
    at('node_returns', 'n3', 45),
  ],
}
const runs = process.env['TORTURE'] ? 100_000 : 2000

test(
  'no schedule breaks an invariant, and each VM under HA runs at last or says why not',
  { timeout: 3_600_000 },
  () => {
    const seen = { restarted: 0, moved: 0 }
    fc.assert(
      fc.property(schedules, (schedule) => {
        // All nodes are back in the end.
        const back = nodeIds.map((id) => at('node_returns', id, 400))
        const sim = simulate(worldOf(schedule), {
          events: [...eventsOf(schedule), ...back],
          seconds: 900,
          seed: schedule.seed,
        })
        expect(sim.broken).toEqual([])
        for (const each of sim.vms.values()) {
          expect(each.guests.size).toBeLessThanOrEqual(1)
          const [place] = each.guests.keys()
          if (place !== undefined) expect(place).toBe(each.node)
          // No guest of these schedules shuts itself down.
          if (each.ha && each.guests.size === 0) expect(each.reason).not.toBe('it was shut down')
          if (each.ha && each.guests.size === 0) expect(each.reason).toBeTruthy()
          if (each.ha && place !== undefined && each.downMs > 0) seen.restarted += 1
          const { on: home } = schedule.vms[Number(each.id.slice(1))]!
          if (each.downMs === 0 && place !== undefined && place !== home) seen.moved += 1
        }
        expect(sim.vms.size).toBe(schedule.vms.length)
      }),
      { numRuns: runs, examples: [[bootsAtOnce]] },
    )
    expect(Math.min(seen.restarted, seen.moved), JSON.stringify(seen)).toBeGreaterThan(runs / 20)
  },
)

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { decide, type HaVm, type HaWorld } from '../../../services/cluster/ha/decide.ts'

const vm = (id: string, more: Partial<HaVm> = {}): HaVm => ({
  id,
  node: 'n1',
  tier: 5,
  status: 'unknown',
  isWanted: true,
  isOwed: true,
  isBusy: false,
  goesTo: null,
  lostStorage: null,
  isGuarded: true,
  acceptsDeadline: true,
  bound: [],
  restarts: 0,
  relocations: 0,
  maxRestarts: 1,
  maxRelocations: 1,
  holdOff: null,
  ...more,
})
const world = (vms: HaVm[], more: Partial<HaWorld> = {}): HaWorld => ({
  nodes: [
    { id: 'n1', state: 'lost', isConfirmedOff: false },
    { id: 'n2', state: 'online', isConfirmedOff: false },
    { id: 'n3', state: 'online', isConfirmedOff: false },
  ],
  vms,
  isolation: null,
  placesFor: () => ({ nodes: ['n2', 'n3'], reason: '', ownLacks: null }),
  ...more,
})
const one = (more: Partial<HaVm> = {}, around: Partial<HaWorld> = {}) =>
  decide(world([vm('a', more)], around)).get('a')!
const node1 = (state: 'online' | 'suspect' | 'lost', isConfirmedOff = false) => ({
  nodes: [{ id: 'n1', state, isConfirmedOff }],
})

describe('a guest whose node is lost', () => {
  test('starts on the best other node', () => {
    expect(one()).toMatchObject({ kind: 'start', to: 'n2', isConfirmed: false })
  })
  test('waits while its node has only missed a check', () => {
    expect(one({}, node1('suspect'))).toMatchObject({ kind: 'wait' })
  })
  test('waits while most nodes are lost, while it holds off, and while an operation works on it', () => {
    expect(one({}, { isolation: 'isolated' })).toEqual({ kind: 'wait', reason: 'isolated' })
    expect(one({ holdOff: 'holds off' })).toEqual({ kind: 'wait', reason: 'holds off' })
    expect(one({ isBusy: true })).toMatchObject({ kind: 'wait' })
  })
  test('needs a user without a guard, or when its group accepts no deadline, until the node is confirmed to be off', () => {
    for (const lack of [{ isGuarded: false }, { acceptsDeadline: false }]) {
      expect(one(lack)).toMatchObject({ kind: 'needs_attention', reason: expect.stringContaining('confirm-off') })
      expect(one(lack, { isolation: 'isolated', ...node1('lost', true) })).toMatchObject({
        kind: 'start',
        isConfirmed: true,
      })
    }
  })
  test('needs a user when its budget is used up, or something of it lies on its node', () => {
    expect(one({ relocations: 1 })).toMatchObject({
      kind: 'needs_attention',
      reason: expect.stringContaining('budget'),
    })
    expect(one({ bound: ['its seed'] })).toMatchObject({ kind: 'needs_attention' })
  })
  test('stays off when it was off before, or is meant to be off', () => {
    expect(one({ isOwed: false })).toMatchObject({ kind: 'nothing' })
    expect(one({ isWanted: false })).toMatchObject({ kind: 'nothing' })
  })
  test('waits with the reasons when no node can take it, which costs no attempt', () => {
    const placesFor = () => ({ nodes: [], reason: 'no room', ownLacks: null })
    expect(one({}, { placesFor })).toEqual({ kind: 'wait', reason: 'no node can take it: no room' })
  })
})

describe('a guest whose node answers', () => {
  const online = node1('online')
  test('starts there again when it was lost, then elsewhere, then needs a user', () => {
    const off = { status: 'stopped' as const }
    expect(one(off, online)).toMatchObject({ kind: 'start', to: 'n1' })
    expect(one({ ...off, restarts: 1 }, online)).toMatchObject({ kind: 'start', to: 'n2' })
    expect(one({ ...off, restarts: 1, relocations: 1 }, online)).toMatchObject({ kind: 'needs_attention' })
  })
  test('starts elsewhere when its node has no room for it any more', () => {
    const placesFor = () => ({ nodes: ['n2'], reason: '', ownLacks: '100 MiB are missing' })
    expect(one({ status: 'stopped' }, { ...node1('online'), placesFor })).toMatchObject({
      kind: 'start',
      to: 'n2',
      reason: expect.stringContaining('no room for it any more: 100 MiB are missing'),
    })
  })
  test('starts there again when its storage is back, after its guard has ended it; until then elsewhere, or it waits', () => {
    const ended = { status: 'stopped' as const, lostStorage: 'away' as const }
    const nowhere = { ...online, placesFor: () => ({ nodes: [], reason: 'no room', ownLacks: null }) }
    expect(one({ ...ended, lostStorage: 'back' }, online)).toMatchObject({
      kind: 'start',
      to: 'n1',
      reason: expect.stringContaining('its guard'),
    })
    expect(one(ended, online)).toMatchObject({ kind: 'start', to: 'n2', reason: expect.stringContaining('its guard') })
    for (const waiting of [
      one(ended, nowhere),
      one({ ...ended, relocations: 1 }, online),
      one({ ...ended, bound: ['x'] }, online),
    ])
      expect(waiting).toMatchObject({ kind: 'wait', reason: expect.stringContaining('does not yet') })
    expect(one({ ...ended, restarts: 1, relocations: 1 }, online)).toMatchObject({ kind: 'needs_attention' })
  })
  test('is left alone when it runs, or has shut itself down', () => {
    expect(one({ status: 'running' }, online)).toMatchObject({ kind: 'nothing' })
    expect(one({ status: 'stopped', isOwed: false }, online)).toMatchObject({ kind: 'nothing' })
  })
  test('is not touched while its state is not known', () => {
    expect(one({ status: 'unknown' }, online)).toMatchObject({ kind: 'wait' })
  })
})

test('a lower tier is started first, and one that needs a user keeps no other one waiting', () => {
  const first = vm('z', { tier: 1 })
  const kinds = (vms: HaVm[]) => Object.fromEntries([...decide(world(vms))].map(([id, { kind }]) => [id, kind]))
  expect(kinds([vm('a'), first])).toEqual({ a: 'wait', z: 'start' })
  expect(kinds([vm('a'), { ...first, relocations: 1 }])).toEqual({ a: 'start', z: 'needs_attention' })
})

test('guests of one turn see the places of each other', () => {
  const placesFor: HaWorld['placesFor'] = (_, given) => ({
    nodes: ['n2', 'n3'].filter((node) => ![...given.values()].includes(node)),
    reason: 'full',
    ownLacks: null,
  })
  const decisions = decide(world([vm('a'), vm('b'), vm('c')], { placesFor }))
  expect([...decisions.values()].map((each) => (each.kind === 'start' ? each.to : each.kind))).toEqual([
    'n2',
    'n3',
    'wait',
  ])
})

const states = fc.constantFrom('online' as const, 'suspect' as const, 'lost' as const)
const ids = ['n1', 'n2', 'n3', 'n4']
const anyVm = (id: string): fc.Arbitrary<HaVm> =>
  fc.record({
    id: fc.constant(id),
    node: fc.constantFrom(...ids),
    tier: fc.integer({ min: 1, max: 3 }),
    status: fc.constantFrom('running' as const, 'paused' as const, 'stopped' as const, 'unknown' as const),
    isWanted: fc.boolean(),
    isOwed: fc.boolean(),
    isBusy: fc.boolean(),
    goesTo: fc.constant(null),
    lostStorage: fc.constantFrom(null, 'away' as const, 'back' as const),
    isGuarded: fc.boolean(),
    acceptsDeadline: fc.boolean(),
    bound: fc.constantFrom<string[][]>([], ['a seed']),
    restarts: fc.integer({ min: 0, max: 2 }),
    relocations: fc.integer({ min: 0, max: 2 }),
    maxRestarts: fc.integer({ min: 0, max: 2 }),
    maxRelocations: fc.integer({ min: 0, max: 2 }),
    holdOff: fc.constantFrom(null, 'holds off'),
  })
const anyWorld = fc.record({
  nodes: fc.tuple(...ids.map((id) => fc.record({ id: fc.constant(id), state: states, isConfirmedOff: fc.boolean() }))),
  vms: fc.tuple(...['a', 'b', 'c', 'd'].map(anyVm)),
  isolation: fc.constantFrom(null, 'isolated'),
})

test('in any world, a start has evidence, a budget, and a node that is not the lost one', () => {
  fc.assert(
    fc.property(anyWorld, (given) => {
      const online = given.nodes.filter(({ state }) => state === 'online').map(({ id }) => id)
      const decisions = decide({ ...given, placesFor: () => ({ nodes: online, reason: 'none', ownLacks: null }) })
      expect([...decisions.keys()].toSorted()).toEqual(['a', 'b', 'c', 'd'])
      for (const each of given.vms) {
        const decision = decisions.get(each.id)!
        if (decision.kind !== 'start') continue
        const { state, isConfirmedOff } = given.nodes.find(({ id }) => id === each.node)!
        expect(online).toContain(decision.to)
        expect(each).toMatchObject({ isWanted: true, isOwed: true, isBusy: false, holdOff: null })
        if (state === 'online') expect(each.status).toBe('stopped')
        else expect(isConfirmedOff || (state === 'lost' && each.isGuarded && each.acceptsDeadline)).toBe(true)
        if (state !== 'online' && !isConfirmedOff) expect(given.isolation).toBeNull()
        if (decision.to === each.node) {
          expect(each.restarts).toBeLessThan(each.maxRestarts)
          expect(each.lostStorage).not.toBe('away')
        } else {
          expect(each.relocations).toBeLessThan(each.maxRelocations)
          expect(each.bound).toEqual([])
        }
      }
    }),
    { numRuns: 2000 },
  )
})

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { rank } from '../../../services/cluster/placement/choose.ts'
import { loads, roomOf } from '../../../services/cluster/placement/world.ts'
import { node, vm, world, worlds } from './worlds.ts'

const wanted = { id: 'new', memoryMib: 100, vcpus: 1, pools: [], architecture: 'x86_64' }
const how = { isStarting: true, first: 'a' }
const nodesOf = (ranked: ReturnType<typeof rank>) => ranked.candidates.map(({ node: id }) => id)
const reasons = (ranked: ReturnType<typeof rank>) =>
  Object.fromEntries(
    ranked.refused.map(({ node: id, obstacles }) => [id, obstacles.map(({ text }) => text).join('; ')]),
  )

describe('the ranking of nodes for a new VM', () => {
  test('puts the node with the most room left first, by its tighter resource', () => {
    const nodes = [node('a'), node('b', { memoryMib: 4000 }), node('c', { memoryMib: 8000, vcpus: 2 })]
    expect(nodesOf(rank(world({ nodes }), wanted, how))).toEqual(['b', 'a', 'c'])
  })

  test('counts guests that are off for the order, but not for the room', () => {
    const off = vm('off', 'a', { memoryMib: 950, isRunning: false })
    const ranked = rank(world({ nodes: [node('a'), node('b')], vms: [off] }), wanted, how)
    expect(nodesOf(ranked)).toEqual(['b', 'a'])
    const on = rank(world({ nodes: [node('a'), node('b')], vms: [{ ...off, isRunning: true }] }), wanted, how)
    expect(nodesOf(on)).toEqual(['b'])
    expect(reasons(on)['a']).toMatch(/^50 MiB of memory are missing/)
  })

  test('prefers the machine of Horcrux among equals, then the order of the ids', () => {
    const nodes = ['c', 'b', 'local'].map((id) => node(id))
    expect(nodesOf(rank(world({ nodes }), wanted, { isStarting: true, first: 'local' }))).toEqual(['local', 'b', 'c'])
  })

  test('names every reason against a node', () => {
    const nodes = [
      node('a', { unusable: 'it is in maintenance', memoryMib: 50 }),
      node('b', { availableMib: 60 }),
      node('c'),
    ]
    const pools = [{ id: 'p', nodes: ['a', 'b'], isActive: true }]
    const ranked = rank(world({ nodes, pools }), { ...wanted, pools: ['p'] }, how)
    expect(nodesOf(ranked)).toEqual([])
    expect(reasons(ranked)).toEqual({
      a: expect.stringMatching(/maintenance; 50 MiB of memory are missing/),
      b: expect.stringMatching(/60 MiB of memory are available by the last measurement, 100 are needed/),
      c: "it does not reach storage pool 'p'",
    })
  })

  test('does not count the measured memory for a VM that stays off', () => {
    const ranked = rank(world({ nodes: [node('a', { availableMib: 60 })] }), wanted, { ...how, isStarting: false })
    expect(nodesOf(ranked)).toEqual(['a'])
  })

  test('keeps the rules', () => {
    const vms = [vm('x', 'a'), vm('y', 'b')]
    const nodes = ['a', 'b', 'c'].map((id) => node(id))
    const of = (kind: 'apart' | 'together', members: string[]) =>
      nodesOf(rank(world({ nodes, vms, rules: [{ id: 'r', kind, vms: members }] }), wanted, how))
    expect(of('apart', ['new', 'x'])).toEqual(['c', 'b'])
    expect(of('together', ['new', 'x'])).toEqual(['a'])
    expect(of('together', ['new', 'x', 'y'])).toEqual([])
    expect(of('apart', ['x', 'y'])).toHaveLength(3)
    // A VM of a rule that is not there yet is no obstacle.
    expect(of('together', ['new', 'later'])).toHaveLength(3)
  })

  test('prefers a node of the same architecture, and leaves others to the hypervisor', () => {
    const nodes = [node('big', { memoryMib: 9000, architecture: 'aarch64' }), node('small')]
    expect(nodesOf(rank(world({ nodes }), wanted, how))).toEqual(['small', 'big'])
  })

  test('of every node is either a candidate with room, or a refusal with a reason', () => {
    fc.assert(
      fc.property(worlds(12), (drawn) => {
        const ranked = rank(drawn, wanted, how)
        const refused = ranked.refused.map(({ node: id }) => id)
        expect([...nodesOf(ranked), ...refused].toSorted()).toEqual(drawn.nodes.map(({ id }) => id).toSorted())
        for (const { obstacles } of ranked.refused) expect(obstacles.length).toBeGreaterThan(0)
        const used = loads(drawn)
        for (const id of nodesOf(ranked)) {
          const { memoryMib, vcpus, unusable } = drawn.nodes.find((each) => each.id === id)!
          expect(unusable).toBeNull()
          expect(used.get(id)!.memoryMib + wanted.memoryMib).toBeLessThanOrEqual(memoryMib)
          expect(used.get(id)!.vcpus + wanted.vcpus).toBeLessThanOrEqual(vcpus)
        }
      }),
    )
  })
})

test('a node keeps memory for itself', () => {
  expect(roomOf(1000, 2)).toEqual({ memoryMib: 744, vcpus: 32 })
  expect(roomOf(100_000, 1)).toEqual({ memoryMib: 97_000, vcpus: 16 })
  expect(roomOf(100, 1).memoryMib).toBe(0)
})

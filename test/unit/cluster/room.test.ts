import { describe, expect, test } from 'vitest'
import { lacking } from '../../../services/cluster/placement/room.ts'
import { loads } from '../../../services/cluster/placement/world.ts'
import { node, vm, world } from './worlds.ts'

const nodes = [node('a'), node('b', { vcpus: 4 })]
const texts = (vms: ReturnType<typeof vm>[], available: number | null = null) =>
  lacking(world({ nodes, vms }), 'it', 'b', available).map(({ kind, text }) => `${kind}: ${text}`)
const it = vm('it', 'a', { memoryMib: 300 })

describe('the room of a node for a guest that moves there', () => {
  test('is enough when the guest fits beside those that run', () => {
    expect(texts([it, vm('x', 'b', { memoryMib: 700 })], 300)).toEqual([])
  })

  test('counts guests that run, guests that move there and vCPUs, and names all that is missing', () => {
    const there = vm('x', 'b', { memoryMib: 500, vcpus: 3 })
    const coming = vm('y', 'a', { memoryMib: 250, vcpus: 1, movingTo: 'b' })
    expect(texts([it, there, coming])).toEqual([
      expect.stringMatching(/^memory: 50 MiB of memory are missing/),
      expect.stringMatching(/^vcpus: 1 vCPUs are missing/),
    ])
    expect(texts([it, there, { ...coming, movingTo: 'c' }])).toEqual([])
  })

  test('counts a guest that runs on the node or moves away from it once', () => {
    expect(texts([it, vm('x', 'b', { memoryMib: 700, movingTo: 'b' })])).toEqual([])
    expect(texts([it, vm('x', 'b', { memoryMib: 701, movingTo: 'a' })])).toHaveLength(1)
  })

  test('does not count the guest itself when it is noted as moving already', () => {
    expect(texts([{ ...it, memoryMib: 1000, movingTo: 'b' }], 1000)).toEqual([])
  })

  test('leaves the measured memory to guests that are on the way', () => {
    const coming = vm('y', 'a', { memoryMib: 250, movingTo: 'b' })
    expect(texts([it], 299)).toEqual([expect.stringMatching(/^measured: 299 MiB of memory are available/)])
    expect(texts([it, coming], 549)).toEqual([expect.stringMatching(/^measured: 299 MiB/)])
    expect(texts([it, coming], 550)).toEqual([])
  })
})

test('a guest on the way loads both of its nodes', () => {
  const sums = loads(world({ nodes, vms: [vm('y', 'a', { movingTo: 'b' }), vm('z', 'a', { isRunning: false })] }))
  expect([sums.get('a'), sums.get('b')]).toEqual([
    { memoryMib: 100, vcpus: 1 },
    { memoryMib: 100, vcpus: 1 },
  ])
})

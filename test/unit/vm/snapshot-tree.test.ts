import { expect, test } from 'vitest'
import { inTreeOrder, secondsOf } from '../../../services/vm/snapshots/tree.ts'

const snapshot = (id: string, parent_id: string | null, minute: number) => ({
  id,
  parent_id,
  created_at: `2026-01-01T00:${String(minute).padStart(2, '0')}:00Z`,
})

test('a tree has each snapshot after its parent, with branches by age', () => {
  const all = [snapshot('d', 'b', 4), snapshot('c', 'a', 3), snapshot('a', null, 1), snapshot('b', 'a', 2)]
  expect(inTreeOrder(all).map(({ snapshot: { id }, depth, children }) => [id, depth, children])).toEqual([
    ['a', 0, ['b', 'c']],
    ['b', 1, ['d']],
    ['d', 2, []],
    ['c', 1, []],
  ])
})

test('a snapshot whose parent is gone is a root', () => {
  expect(inTreeOrder([snapshot('b', 'gone', 1)])).toMatchObject([{ depth: 0, children: [] }])
})

test('a chain of ten thousand snapshots has an order', () => {
  const chain = Array.from({ length: 10_000 }, (_, index) => ({
    id: `s${index}`,
    parent_id: index === 0 ? null : `s${index - 1}`,
    created_at: '2026-01-01T00:00:00Z',
  }))
  expect(inTreeOrder(chain).at(-1)).toMatchObject({ depth: 9999, children: [] })
})

test('the seconds of a deletion are unknown while those of one disk are', () => {
  expect(secondsOf([{ seconds: 1.5 }, { seconds: 2 }])).toBe(3.5)
  expect(secondsOf([{ seconds: 1.5 }, { seconds: null }])).toBeNull()
  expect(secondsOf([])).toBe(0)
})

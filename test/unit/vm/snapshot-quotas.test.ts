import { expect, test } from 'vitest'
import { excessOf, inOrder, isNone, type Sized, without } from '../../../services/vm/quotas/choose.ts'
import {
  bytesIn,
  type Counted,
  isInScope,
  liveReservations,
  overruns,
  usageOf,
  wantedBytesIn,
} from '../../../services/vm/quotas/usage.ts'

const at = (hour: number) => `2026-01-01T${String(hour).padStart(2, '0')}:00:00.000Z`
const counted = (id: string, more: Partial<Counted> = {}): Counted => ({
  id,
  vm_id: 'web',
  state: 'ready',
  size_bytes: 100,
  measured_at: at(1),
  disks: [
    { pool: 'fast', held_bytes: 60 },
    { pool: 'slow', held_bytes: 40 },
  ],
  ...more,
})
const quota = {
  id: 'q',
  scope: { kind: 'global' } as const,
  max_count: 4 as number | null,
  max_bytes: 400 as number | null,
  warning_percent: 75,
}
const room = (bytes: number, until = at(23)) => ({ bytes, until, by: 'operation' })

test('a scope counts the snapshots of a VM, those with a disk in a storage pool, or all', () => {
  const one = counted('a')
  expect(isInScope({ kind: 'vm', vm_id: 'web' }, one)).toBe(true)
  expect(isInScope({ kind: 'vm', vm_id: 'db' }, one)).toBe(false)
  expect(isInScope({ kind: 'pool', pool: 'slow' }, one)).toBe(true)
  expect(isInScope({ kind: 'pool', pool: 'other' }, one)).toBe(false)
  expect(isInScope({ kind: 'global' }, one)).toBe(true)
})

test('a storage pool counts the bytes of its own disks, and no memory', () => {
  expect(bytesIn({ kind: 'pool', pool: 'fast' }, counted('a'))).toBe(60)
  expect(bytesIn({ kind: 'global' }, counted('a'))).toBe(100)
  const unknown = counted('a', { disks: [{ pool: 'fast', held_bytes: null }] })
  expect(bytesIn({ kind: 'pool', pool: 'fast' }, unknown)).toBeNull()
  const disks = [
    { pool: 'fast', bytes: 5 },
    { pool: 'slow', bytes: 7 },
  ]
  const wanted = { id: 'n', vm_id: 'web', memory_bytes: 11, disks }
  expect(wantedBytesIn({ kind: 'pool', pool: 'fast' }, wanted)).toBe(5)
  expect(wantedBytesIn({ kind: 'global' }, wanted)).toBe(23)
})

test('a snapshot that is being made counts the bytes that were reserved for it', () => {
  const making = counted('b', { state: 'creating', size_bytes: null, measured_at: null })
  const reservations = { b: room(50), c: room(7), d: room(9, at(2)), a: room(1000) }
  const found = [counted('a'), making]
  const live = liveReservations(reservations, found, Date.parse(at(3)))
  // `a` has a record with its bytes, and the reservation of `d` has ended.
  expect(Object.keys(live)).toEqual(['b', 'c'])
  expect(usageOf(quota, found, live)).toMatchObject({ count: 3, bytes: 157, unmeasured: 0, state: 'warning' })
  expect(Object.keys(liveReservations({ b: room(50, at(2)) }, found, Date.parse(at(3))))).toEqual(['b'])
})

test('bytes that are not known are told as such', () => {
  const usage = usageOf(quota, [counted('a', { size_bytes: null }), counted('b', { measured_at: at(5) })], {})
  expect(usage).toMatchObject({
    count: 2,
    bytes: 100,
    unmeasured: 1,
    bytes_percent: 25,
    count_percent: 50,
    state: 'ok',
  })
})

test.each([
  ['below the threshold', 2, 'ok'],
  ['at the threshold', 3, 'warning'],
  ['at the limit', 4, 'warning'],
  ['above the limit', 5, 'exceeded'],
])('a quota %s', (_, count, state) => {
  const found = Array.from({ length: count }, (__, number) => counted(String(number), { size_bytes: 1 }))
  const usage = usageOf(quota, found, {})
  expect(usage.state).toBe(state)
})

test('all limits that a snapshot would exceed are named', () => {
  expect(overruns(quota, { count: 3, bytes: 300 }, 100)).toEqual([])
  expect(overruns(quota, { count: 4, bytes: 350 }, 100)).toHaveLength(2)
  expect(overruns({ max_count: null, max_bytes: 400 }, { count: 9, bytes: 400 }, 0)).toHaveLength(1)
  expect(overruns({ max_count: null, max_bytes: 400 }, { count: 9, bytes: 399 }, 0)).toEqual([])
})

const sized = (
  id: string,
  hour: number,
  bytes: number | null,
  uses = 0,
  last_used_at: string | null = null,
): Sized => ({
  ...counted(id),
  name: id,
  created_at: at(hour),
  schedule_id: null,
  uses,
  last_used_at,
  protected: false,
  bytes,
})

test('each policy has its order, and only chooses among those that are named', () => {
  const all = [sized('c', 3, 5, 0), sized('a', 1, null, 2, at(9)), sized('b', 2, 9, 2, at(8))]
  const names = (...asked: Parameters<typeof inOrder>) =>
    inOrder(...asked)
      .map(({ id }) => id)
      .join('')
  expect(names('oldest_first', all)).toBe('abc')
  expect(names('largest_first', all)).toBe('bca')
  expect(names('least_used_first', all)).toBe('cba')
  expect(names('manual', all)).toBe('')
  expect(names('manual', all, ['c', 'a'])).toBe('ca')
  expect(names('oldest_first', all, ['c', 'a'])).toBe('ac')
})

test('snapshots give back their number, and the bytes that are known', () => {
  const excess = excessOf(quota, { count: 5, bytes: 450 }, { count: 1, bytes: 0 })
  expect(excess).toEqual({ count: 2, bytes: 50 })
  const left = without(without(excess, sized('a', 1, 50)), sized('b', 2, null))
  expect(isNone(left)).toBe(true)
  expect(isNone(without(excess, sized('a', 1, null)))).toBe(false)
  expect(excessOf({ max_count: null, max_bytes: 10 }, { count: 5, bytes: 4 }, { count: 3, bytes: 2 })).toEqual({
    count: 0,
    bytes: 0,
  })
})

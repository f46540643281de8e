import { expect, test } from 'vitest'
import { floorOf, isLow } from '../../../services/storage/pools/room.ts'

const [MiB, GiB] = [2 ** 20, 2 ** 30]

test('the floor is a part of what can become full, more of metadata than of data, and at most 1 GiB', () => {
  const of = (name: 'space' | 'data' | 'metadata' | 'quota', capacity_bytes: number) =>
    floorOf({ name, capacity_bytes, available_bytes: 0 })
  expect(of('space', 10 * GiB)).toBe(Math.floor(0.2 * GiB))
  expect(of('quota', 10 * GiB)).toBe(of('space', 10 * GiB))
  expect(of('data', 10 * GiB)).toBe(GiB / 2)
  expect(of('metadata', 100 * MiB)).toBe(10 * MiB)
  for (const name of ['space', 'data', 'metadata', 'quota'] as const) expect(of(name, 1000 * 1024 * GiB)).toBe(GiB)
})

test('is low only below the floor', () => {
  const data = { name: 'data' as const, capacity_bytes: 1000 }
  expect(isLow({ ...data, available_bytes: 50 })).toBe(false)
  expect(isLow({ ...data, available_bytes: 49 })).toBe(true)
})

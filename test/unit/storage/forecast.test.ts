import { expect, test } from 'vitest'
import { fullAt, type Sample } from '../../../services/storage/pools/forecast.ts'

const hour = 3_600_000
const start = Date.parse('2026-01-01T00:00:00Z')
const at = (hours: number) => new Date(start + hours * hour).toISOString()
const series = (...available: number[]): Sample[] =>
  available.map((bytes, index) => ({ at: at(index), available: { space: bytes } }))

test('a storage pool that loses bytes is full when they end at this rate', () => {
  expect(fullAt(series(100, 90, 80, 70), 'space', start)).toBe(at(10))
  // Around a line of the same rate.
  const told = Date.parse(fullAt(series(101, 89, 81, 69, 61, 49), 'space', start)!)
  expect(Math.abs(told - (start + 10 * hour))).toBeLessThan(hour / 2)
})

test('one that gains bytes, or loses them in more than years, has no end', () => {
  expect(fullAt(series(70, 80, 90, 100), 'space', start)).toBeNull()
  expect(fullAt(series(50, 50, 50, 50), 'space', start)).toBeNull()
  expect(fullAt(series(1e12, 1e12 - 1, 1e12 - 2, 1e12 - 3), 'space', start)).toBeNull()
})

test('few samples, or those of a short time, tell no rate', () => {
  expect(fullAt(series(100, 50, 0), 'space', start)).toBeNull()
  expect(fullAt(series(100, 90, 80, 70), 'metadata', start)).toBeNull()
  const short = series(100, 90, 80, 70).map((sample, index) => ({ ...sample, at: at(index / 10) }))
  expect(fullAt(short, 'space', start)).toBeNull()
})

test('a time that is over already is now', () => {
  expect(fullAt(series(30, 20, 10, 0), 'space', start + 9 * hour)).toBe(at(9))
})

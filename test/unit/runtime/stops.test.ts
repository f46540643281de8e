import fc from 'fast-check'
import { expect, test, vi } from 'vitest'
import { stopLength, wasStoppedSince, watchForStops } from '#shared/runtime/stops.ts'

test.each([
  ['a heartbeat in time', 250, 0, 0],
  ['a busy event loop', 1700, 0, 0],
  ['a stopped process', 5250, 0, 5000],
  ['a suspended machine, whose monotonic clock stood still', 250, 20_000, 20_000],
  ['a wall clock that was set back during a stop', 5250, -60_000, 5000],
  ['a wall clock that was set back', 250, -60_000, 0],
])('%s', (_, monotonic, clocksMoved, expected) => {
  expect(stopLength(monotonic, clocksMoved)).toBe(expected)
})

test('a stop is found by either clock', () => {
  fc.assert(
    fc.property(fc.nat(100_000), fc.integer({ min: -100_000, max: 100_000 }), (monotonic, moved) => {
      const isFound = stopLength(monotonic, moved) > 0
      expect(isFound).toBe(monotonic > 1750 || monotonic + moved > 1750)
    }),
  )
})

test('without a heartbeat no stop is known', () => {
  expect(wasStoppedSince(0)).toBe(false)
})

test('a clock that is set ahead is a stop; set back again, it leaves no stop in the future', () => {
  const end = watchForStops()
  try {
    const before = Date.now()
    vi.useFakeTimers({ toFake: ['Date'], now: before + 300_000 })
    expect(wasStoppedSince(before)).toBe(true)
    vi.useRealTimers()
    expect(wasStoppedSince(Date.now() + 1)).toBe(false)
  } finally {
    vi.useRealTimers()
    end()
  }
})

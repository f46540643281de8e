import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { bandwidthOf, doubtOf, foresee, type Foreseen } from '../../../services/migration/forecast/foresee.ts'
import { courseOf, type Precopy } from '../../../services/migration/forecast/precopy.ts'
import { isWithin, rangeOf, ratiosOf } from '../../../services/migration/forecast/ranges.ts'

const MiB = 2 ** 20
const of: Precopy = {
  memoryMib: 1000,
  dirtyMibPerSecond: 0,
  workingSetMib: 1000,
  bandwidthMibPerSecond: 100,
  maxPauseMs: 300,
  autoConverge: false,
}

describe('the course of a move of memory', () => {
  test('sends an idle guest once', () => {
    expect(courseOf(of)).toEqual({ sentMib: 1000, seconds: 10, iterations: 1, residualMib: 0, converges: true })
  })

  test('sends what changed meanwhile until the rest fits into the pause', () => {
    // 1000 in 10 s, 500 in 5 s, 250, 125, 62.5, 31.25; then 15.6 MiB are left, and 30 fit.
    const { iterations, sentMib, residualMib, converges } = courseOf({ ...of, dirtyMibPerSecond: 50 })
    expect([iterations, converges]).toEqual([6, true])
    expect(sentMib).toBeCloseTo(1968.75)
    expect(residualMib).toBeCloseTo(15.625)
  })

  test('has no end for a guest that writes faster than the network sends, unless its working set fits into the pause', () => {
    const fast = { ...of, dirtyMibPerSecond: 200 }
    expect(courseOf(fast)).toMatchObject({ converges: false, residualMib: 1000 })
    expect(courseOf({ ...fast, workingSetMib: 20 })).toMatchObject({ converges: true, iterations: 1 })
  })

  test('comes to an end when QEMU may slow the guest down', () => {
    expect(courseOf({ ...of, dirtyMibPerSecond: 200, autoConverge: true }).converges).toBe(true)
  })

  test('takes at least the time of the memory at full bandwidth, and always ends', () => {
    const number = (max: number) => fc.double({ min: 0.01, max, noNaN: true })
    fc.assert(
      fc.property(
        number(1e6),
        number(1e4),
        number(1e6),
        number(1e4),
        fc.boolean(),
        (memory, dirty, set, rate, auto) => {
          const course = courseOf({
            memoryMib: memory,
            dirtyMibPerSecond: dirty,
            workingSetMib: set,
            bandwidthMibPerSecond: rate,
            maxPauseMs: 300,
            autoConverge: auto,
          })
          expect(course.seconds).toBeGreaterThanOrEqual((memory / rate) * 0.999)
          expect(course.iterations).toBeLessThanOrEqual(50)
          if (course.converges) expect(course.residualMib / rate).toBeLessThanOrEqual(0.3001)
        },
      ),
    )
  })
})

const statistics = (seconds: number, mib: number, downtime_ms = 100) =>
  ({
    elapsed_ms: seconds * 1000,
    downtime_ms,
    ram_transferred_bytes: mib * MiB,
    disk_transferred_bytes: 0,
  }) as never
const wanted = (given: Partial<Foreseen> = {}): Foreseen => ({
  memory: { memory_mib: 1000, used_mib: 500, dirty_mib_per_second: 0 },
  diskBytes: 1000 * MiB,
  limitMib: 100,
  autoConverge: false,
  maxPauseMs: 300,
  between: [],
  all: [],
  ...given,
})
/** Earlier migrations that took so many times the seconds of their forecast. */
const after = (...ratios: number[]) =>
  ratios.map((ratio) => ({
    bandwidth_limit: 100,
    statistics: statistics(10 * ratio, 1000),
    forecast: { ...foresee(wanted()), points: { seconds: 10, pause_ms: 100, bytes: 1000 * MiB } },
  }))

describe('a forecast', () => {
  test('adds memory that is in use and disks, and says that its ranges are a guess', () => {
    const { points, convergence, samples, seconds } = foresee(wanted())
    expect(points).toMatchObject({ seconds: 15, bytes: 1500 * MiB })
    expect([convergence, samples]).toEqual(['yes', 0])
    expect(isWithin(seconds, points.seconds)).toBe(true)
  })

  test('is uncertain when sampled pages do not tell the working set', () => {
    const memory = { memory_mib: 1000, used_mib: 1000, dirty_mib_per_second: 120 }
    expect(foresee(wanted({ memory })).convergence).toBe('no')
    const small = { ...memory, dirty_mib_per_second: 20 }
    expect(foresee(wanted({ memory: small, limitMib: 10, maxPauseMs: 2500 })).convergence).toBe('uncertain')
    expect(doubtOf(foresee(wanted({ memory })))).toMatch(/will not come to an end: about \d+ MiB/)
    expect(doubtOf(foresee(wanted()))).toBeNull()
  })

  test('learns from the outcomes of earlier migrations', () => {
    const ratios = [2, 2.1, 1.9, 2, 2.2, 1.8, 2, 2]
    const { seconds, samples } = foresee(wanted({ between: after(...ratios) }))
    expect(samples).toBe(8)
    expect(seconds.median).toBeCloseTo(30, 0)
    for (const ratio of ratios) expect(isWithin(seconds, 15 * ratio)).toBe(true)
    // Fewer of these two nodes: all nodes count.
    expect(foresee(wanted({ between: after(1), all: after(...ratios) })).seconds.median).toBeCloseTo(30)
  })

  test('covers nine of ten outcomes that are spread as those before', () => {
    fc.assert(
      fc.property(fc.infiniteStream(fc.double({ min: 0.5, max: 3, noNaN: true })), (stream) => {
        const drawn = [...stream.take(150)]
        const range = rangeOf('seconds', 10, drawn.slice(0, 50))
        const within = drawn.slice(50).filter((ratio) => isWithin(range, 10 * ratio))
        expect(within.length).toBeGreaterThanOrEqual(70)
      }),
      { numRuns: 50, seed: 7 },
    )
  })

  test('counts less bandwidth than the limit when earlier transfers did not reach it', () => {
    const done = (seconds: number, mib: number) => ({
      bandwidth_limit: 100,
      forecast: null,
      statistics: statistics(seconds, mib),
    })
    expect(bandwidthOf(100, [done(20, 1000), done(25, 1000), done(10, 500)])).toEqual({ mib: 50, source: 'measured' })
    // At its limit, or too short to tell.
    expect(bandwidthOf(100, [done(11, 1000), done(20, 10)])).toEqual({ mib: 100, source: 'limit' })
    expect(bandwidthOf(30, [done(20, 1000)])).toEqual({ mib: 30, source: 'limit' })
  })

  test('has no ratio without a forecast, or without a measured outcome', () => {
    const [one] = after(2)
    expect(ratiosOf([one!, { ...one!, forecast: null }, { ...one!, statistics: null }], 'seconds', null)).toEqual([2])
  })
})

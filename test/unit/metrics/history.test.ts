import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { series } from '#shared/contracts/metrics/catalog.ts'
import { clock } from '../../../services/metrics/collect/subjects.ts'
import { edgesOf, intervalFor, intervalOf } from '../../../services/metrics/history/buckets.ts'
import { chunkOf, tableOf } from '../../../services/metrics/history/chunks.ts'
import { decodeColumns, encodeColumns } from '../../../services/metrics/history/codec.ts'
import { marksOf, tierFor } from '../../../services/metrics/history/query.ts'
import { cutBy } from '../../../services/metrics/history/retention.ts'
import { createRing, type Row } from '../../../services/metrics/history/ring.ts'
import {
  createBuckets,
  evenEdges,
  rollUpBuckets,
  rollUpSamples,
  rollUpTable,
} from '../../../services/metrics/history/roll-up.ts'
import { eachValue } from '../../../services/metrics/history/series.ts'
import type { Table } from '../../../services/metrics/history/table.ts'

const begin = Date.parse('2026-03-01T00:00:00Z')
const row = (seconds: number, values: Row['values'], run = 'first', node = 'n1'): Row => ({
  time: begin + seconds * 1000,
  steady: begin + seconds * 1000,
  identity: { id: run, node },
  source: 'test',
  quality: 'fresh',
  values,
})
function tableFrom(rows: Row[], columns = ['cpu_seconds', 'vcpus', 'memory_bytes']): Table {
  const ring = createRing(columns, rows.length)
  for (const each of rows) ring.push(each)
  return ring.table()
}

type Found = (number | string)[]
function ratesOf(table: Table, name = 'cpu_seconds_per_second'): Found {
  const found: Found = []
  eachValue(
    table,
    series.vms[name]!,
    10_000,
    (_, value) => found.push(value),
    (_, reason) => found.push(reason),
  )
  return found
}

describe('rates', () => {
  test('are the growth for each second, and the first sample has none', () => {
    const table = tableFrom([0, 10, 20].map((at) => row(at, { cpu_seconds: at / 2 })))
    expect(ratesOf(table)).toEqual(['not_measured', 0.5, 0.5])
  })

  test('of a counter that restarts are missing for one sample, and never a spike', () => {
    const stopped = [
      row(0, { cpu_seconds: 500 }),
      row(10, { cpu_seconds: 505 }),
      row(20, { cpu_seconds: 2 }),
      row(30, { cpu_seconds: 4 }),
    ]
    expect(ratesOf(tableFrom(stopped))).toEqual(['not_measured', 0.5, 'reset', 0.2])
  })

  test('of another run are missing, also when its counter is higher', () => {
    const moved = [
      row(0, { cpu_seconds: 1 }),
      row(10, { cpu_seconds: 90 }, 'second', 'n2'),
      row(20, { cpu_seconds: 95 }, 'second', 'n2'),
    ]
    const table = tableFrom(moved)
    expect(ratesOf(table)).toEqual(['not_measured', 'reset', 0.5])
    expect(marksOf([table], begin, begin + 60_000)).toEqual([
      { time: '2026-03-01T00:00:10.000Z', kind: 'moved', node: 'n2' },
    ])
  })

  test('across a gap of more than two and a half intervals are missing', () => {
    const table = tableFrom([0, 25, 51].map((at) => row(at, { cpu_seconds: at })))
    expect(ratesOf(table)).toEqual(['not_measured', 1, 'stale'])
  })

  test('use the steady clock when the wall clock is set back, and history stays ordered', () => {
    const at = (wall: number, steady: number, cpu_seconds: number) => ({
      ...row(wall, { cpu_seconds }),
      steady: begin + steady * 1000,
    })
    const table = tableFrom([at(0, 0, 0), at(10, 10, 5), at(-20, 20, 10), at(11, 51, 25)])
    expect([...table.times].map((time) => (time - begin) / 1000)).toEqual([0, 10, 11])
    expect(ratesOf(table).slice(0, 2)).toEqual(['not_measured', 0.5])
  })

  test('are never negative and never above the fastest growth, whatever the counter does', () => {
    const steps = fc.array(fc.record({ grow: fc.double({ min: 0, max: 10, noNaN: true }), reset: fc.boolean() }), {
      minLength: 2,
      maxLength: 50,
    })
    fc.assert(
      fc.property(steps, (all) => {
        let counter = 1000
        const rows = all.map(({ grow, reset }, index) =>
          row(index * 10, { cpu_seconds: (counter = reset ? 0 : counter + grow) }),
        )
        for (const rate of ratesOf(tableFrom(rows)))
          if (typeof rate === 'number') expect(rate >= 0 && rate <= 1.000001).toBe(true)
      }),
    )
  })
})

test('the wall clock of samples follows a jump, and the steady clock does not', () => {
  const first = clock(1_700_000_000_000, 5000)
  const later = clock(1_700_000_005_030, 10_000)
  expect(later.time - first.time).toBe(5000)
  const jumped = clock(1_700_003_600_000, 15_000)
  expect(jumped.time).toBe(1_700_003_600_000)
  expect(jumped.steady - later.steady).toBe(5000)
})

describe('columns', () => {
  const values = fc.oneof(
    fc.integer({ min: -(2 ** 40), max: 2 ** 40 }),
    fc.maxSafeInteger(),
    fc.double({ noDefaultInfinity: true }).map((value) => (value === 0 ? 0 : value)),
    fc.constant(NaN),
    fc.integer({ min: 0, max: 10_000 }).map((value) => value / 100),
  )

  test('come back as they were written', () => {
    const tables = fc
      .integer({ min: 1, max: 80 })
      .chain((rows) =>
        fc.array(fc.array(values, { minLength: rows, maxLength: rows }), { minLength: 1, maxLength: 20 }),
      )
    fc.assert(
      fc.property(tables, fc.constantFrom('whole' as const, 'split' as const), fc.nat(), (columns, layout, pick) => {
        const arrays = columns.map((column) => Float64Array.from(column))
        const data = encodeColumns(arrays, { layout })
        const wanted = pick % arrays.length
        const some = decodeColumns(data, new Set([wanted]))
        expect(some).toEqual(arrays.map((column, index) => (index === wanted ? column : new Float64Array(0))))
        expect(decodeColumns(data)).toEqual(arrays)
      }),
    )
  })

  test('of a chunk come back with times, identities and both clocks', () => {
    const table = tableFrom(
      [0, 10, 20].map((at) =>
        row(at, { cpu_seconds: at / 7, memory_bytes: at === 10 ? undefined : 5 }, at < 15 ? 'a' : 'b'),
      ),
    )
    const chunk = chunkOf('vms/x', 'raw', begin, table)
    expect(tableOf(chunk)).toEqual({ ...table, columns: table.columns })
    expect([...tableOf(chunk, new Set(['vcpus'])).columns.keys()]).toEqual(['vcpus'])
  })
})

describe('roll-ups', () => {
  const cells = fc.record({
    gap: fc.integer({ min: 1, max: 40 }),
    cpu_seconds: fc.oneof(fc.integer({ min: 0, max: 50 }), fc.constant(undefined)),
    memory_bytes: fc.oneof(fc.integer({ min: 0, max: 2 ** 40 }), fc.constant(undefined)),
    run: fc.integer({ min: 0, max: 9 }).map((digit) => (digit === 0 ? 'other' : 'first')),
  })

  test('of roll-ups equal those of raw samples', () => {
    fc.assert(
      fc.property(fc.array(cells, { minLength: 2, maxLength: 120 }), (all) => {
        let [at, counter] = [0, 0]
        const rows = all.map(({ gap, cpu_seconds, memory_bytes, run }) => {
          at += gap
          counter += cpu_seconds ?? 0
          return row(at, { cpu_seconds: cpu_seconds === undefined ? undefined : counter, memory_bytes, vcpus: 2 }, run)
        })
        const table = tableFrom(rows)
        const span = [begin, begin + 1200 * 1000 * 4] as const
        const minutes = rollUpTable('vms', table, 10_000, span, 60_000)
        const edges = evenEdges(span[0], span[1], 600_000)
        for (const name of ['cpu_percent', 'cpu_seconds_per_second', 'memory_bytes']) {
          const [direct, again] = [createBuckets(edges.length - 1), createBuckets(edges.length - 1)]
          rollUpSamples(table, series.vms[name]!, 10_000, edges, direct)
          rollUpBuckets(minutes, name, edges, again)
          expect(again.min).toEqual(direct.min)
          expect(again.max).toEqual(direct.max)
          for (const part of ['sum', 'weight'] as const)
            for (const [index, value] of direct[part].entries()) expect(again[part][index]).toBeCloseTo(value, 6)
        }
      }),
      { numRuns: 50 },
    )
  })

  test('have no row for a bucket without samples: a gap is a gap', () => {
    const table = tableFrom([row(5, { memory_bytes: 1 }), row(200, { memory_bytes: 3 })])
    const minutes = rollUpTable('vms', table, 10_000, [begin, begin + 600_000], 60_000)
    expect([...minutes.times].map((time) => (time - begin) / 60_000)).toEqual([0, 3])
  })
})

describe('buckets', () => {
  const hoursIn = (from: string, to: string, interval: string, zone: string) => {
    const edges = edgesOf(Date.parse(from), Date.parse(to), intervalOf(interval), zone)
    return Array.from(edges.slice(1), (edge, index) => (edge - edges[index]!) / 3_600_000)
  }

  test('of days have 23 and 25 hours where the clock is changed', () => {
    expect(hoursIn('2026-03-28T00:00:00Z', '2026-03-30T12:00:00Z', '1d', 'Europe/Berlin')).toEqual([24, 23, 24])
    expect(hoursIn('2026-10-24T10:00:00Z', '2026-10-26T12:00:00Z', '1d', 'Europe/Berlin')).toEqual([24, 25, 24])
    expect(hoursIn('2026-03-28T00:00:00Z', '2026-03-30T12:00:00Z', '1d', 'UTC')).toEqual([24, 24, 24])
  })

  test('of a day whose midnight does not exist begin with its first moment', () => {
    // Beirut sets its clock from 0:00 to 1:00.
    expect(hoursIn('2026-03-28T12:00:00Z', '2026-03-30T12:00:00Z', '1d', 'Asia/Beirut')).toEqual([24, 23, 24])
  })

  test('of weeks begin on Monday, and of half hours lie on those of the zone', () => {
    const weeks = edgesOf(
      Date.parse('2026-03-04T00:00:00Z'),
      Date.parse('2026-03-12T00:00:00Z'),
      intervalOf('1w'),
      'Asia/Kolkata',
    )
    expect([...weeks].map((edge) => new Date(edge).toISOString())).toEqual([
      '2026-03-01T18:30:00.000Z',
      '2026-03-08T18:30:00.000Z',
      '2026-03-15T18:30:00.000Z',
    ])
    expect(edgesOf(begin, begin + 3_600_000, intervalOf('1h'), 'Asia/Kolkata')[0]! % 3_600_000).toBe(1_800_000)
  })

  test('cover the span without overlap, in every zone and with every interval', () => {
    const zones = ['UTC', 'Europe/Berlin', 'America/New_York', 'Asia/Beirut', 'Australia/Lord_Howe', 'Asia/Kathmandu']
    const spans = fc.record({
      from: fc.integer({ min: begin, max: begin + 300 * 86_400_000 }),
      length: fc.integer({ min: 1000, max: 40 * 86_400_000 }),
      zone: fc.constantFrom(...zones),
      interval: fc.constantFrom('30m', '1h', '3h', '6h', '12h', '1d', '2d', '1w'),
    })
    fc.assert(
      fc.property(spans, ({ from, length, zone, interval }) => {
        const edges = edgesOf(from, from + length, intervalOf(interval), zone)
        expect(edges[0]! <= from && edges.at(-1)! >= from + length).toBe(true)
        expect(edges[1]! > from && edges.at(-2)! < from + length).toBe(true)
        expect(edges.every((edge, index) => index === 0 || edge > edges[index - 1]!)).toBe(true)
      }),
      { numRuns: 60 },
    )
  })

  test('are refused when they are too many, and for an unknown zone', () => {
    expect(() => edgesOf(begin, begin + 86_400_000, intervalOf('1s'))).toThrow(/makes 86400 buckets; at most 5000/)
    expect(() => edgesOf(begin, begin + 86_400_000, intervalOf('1d'), 'Mars/Olympus')).toThrow(/not a time zone/)
  })

  test('are at most as many as the pixels of a graph', () => {
    for (const [hours, pixels] of [
      [1, 300],
      [24, 800],
      [24 * 365, 1000],
    ] as const) {
      const { ms } = intervalFor(hours * 3_600_000, pixels)
      expect((hours * 3_600_000) / ms).toBeLessThanOrEqual(pixels)
    }
  })
})

test('a query reads the coarsest tier that fits into its buckets', () => {
  const at = (interval: string, daysAgo: number, zone = 'UTC') => {
    const now = begin + 400 * 86_400_000
    const used = intervalOf(interval)
    return tierFor(edgesOf(now - daysAgo * 86_400_000, now - daysAgo * 86_400_000 + 3_600_000, used, zone), used, now)
  }
  expect(at('10s', 0.5)).toBe('raw')
  expect(at('1m', 0.5)).toBe('minute')
  expect(at('10m', 0.5)).toBe('ten_minutes')
  expect(at('1m', 13)).toBe('minute')
  expect(at('1h', 100)).toBe('ten_minutes')
})

test('the oldest chunks go when a tier has too many bytes', async () => {
  async function* pages() {
    yield [
      { end: 30, bytes: 400 },
      { end: 20, bytes: 400 },
    ]
    yield [{ end: 10, bytes: 400 }]
  }
  expect(await cutBy(1000, pages())).toBe(10)
  expect(await cutBy(700, pages())).toBe(20)
  expect(await cutBy(2000, pages())).toBeNull()
})

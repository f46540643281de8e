import mongoose from 'mongoose'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { columnNames } from '#shared/contracts/metrics/catalog.ts'
import { startHorcrux, type TestHorcrux } from '../../lab/product/horcrux.ts'
import { edgesOf, intervalOf } from '../../../services/metrics/history/buckets.ts'
import { chunkModel, type SubjectName } from '../../../services/metrics/history/chunks.ts'
import { createFlusher, rollUpLeftovers } from '../../../services/metrics/history/flush.ts'
import { readHistory } from '../../../services/metrics/history/query.ts'
import { sweepHistory } from '../../../services/metrics/history/retention.ts'
import { createRing } from '../../../services/metrics/history/ring.ts'

const begin = Date.parse('2026-03-28T00:00:00Z')
const intervalMs = 10_000
const minuteMs = 60_000
let horcrux: TestHorcrux

beforeAll(async () => {
  horcrux = await startHorcrux({ services: [] })
})
afterAll(() => horcrux.stop())

/** A fleet with virtual time: each guest's disk reads grow by 1,000 bytes times its number for each second. */
function createFleet(count: number, name: string) {
  const subjects: SubjectName[] = Array.from({ length: count }, (_, number): SubjectName => `vms/${name}${number}`)
  const ringsOf = () => new Map(subjects.map((subject) => [subject, createRing(columnNames('vms'), 80)]))
  let rings = ringsOf()
  const push = (time: number) => {
    for (const [number, [, ring]] of [...rings].entries())
      ring.push({
        time,
        steady: time,
        identity: { id: 'run', node: 'n' },
        source: 'test',
        quality: 'fresh',
        values: {
          up: 1,
          vcpus: 2,
          cpu_seconds: ((time - begin) / 1000) * 0.5,
          memory_bytes: 2 ** 30 + number,
          disk_read_bytes: ((time - begin) / 1000) * 1000 * number,
        },
      })
  }
  const flushed = () => [...rings].map(([subject, ring]) => ({ subject, ring, intervalMs }))
  return {
    subjects,
    push,
    flushed,
    ringOf: (subject: SubjectName) => rings.get(subject),
    crash: () => (rings = ringsOf()),
  }
}

const read = (
  subject: SubjectName,
  metric: string,
  [from, to, interval, zone]: [number, number, string, string?],
  now: number,
  ring?: ReturnType<typeof createRing>,
) => {
  const used = intervalOf(interval)
  return readHistory({ subject, metric, edges: edgesOf(from, to, used, zone), interval: used, intervalMs, now }, ring)
}

test('a day of samples is there in every resolution, across a crash, and its gap is a gap', async () => {
  const fleet = createFleet(5, 'a')
  let flusher = createFlusher()
  const crashAt = begin + 10 * 3_600_000 + 7 * minuteMs + 30_000
  const end = begin + 26 * 3_600_000
  for (let now = begin; now < end; now += intervalMs) {
    if (now === crashAt) {
      // The process ends between two writes, and another begins 40 s later.
      fleet.crash()
      flusher = createFlusher()
    }
    if (now >= crashAt && now < crashAt + 40_000) continue
    fleet.push(now)
    // Between the crash and its end samples are written often, else once for each window.
    const often = Math.abs(now - crashAt) < 15 * minuteMs
    if ((now - intervalMs) % ((often ? 3 : 10) * minuteMs) === 0) await flusher.flush(fleet.flushed(), now)
  }
  await flusher.flush(fleet.flushed(), end)
  const subject = fleet.subjects[3]!
  const ring = fleet.ringOf(subject)

  const hours = await read(subject, 'disk_read_bytes_per_second', [begin, end, '1h'], end, ring)
  expect(hours.tier).toBe('ten_minutes')
  expect(hours.data).toHaveLength(26)
  for (const point of hours.data) expect(point.avg).toBeCloseTo(3000, 6)
  expect(hours.data.every(({ covered }, hour) => (hour === 10 ? covered < 0.99 : covered > 0.99))).toBe(true)

  const minutes = await read(subject, 'cpu_percent', [begin, end, '1m'], end, ring)
  expect(minutes.data.filter(({ avg }) => avg !== null).every(({ avg }) => Math.abs(avg! - 25) < 1e-6)).toBe(true)
  // What was not written before the crash is lost, and nothing is made up for it.
  const gaps = minutes.data.flatMap(({ time, avg }) => (avg === null ? [time] : []))
  expect(gaps.length).toBeGreaterThanOrEqual(1)
  expect(gaps.length).toBeLessThanOrEqual(3)
  expect(gaps.every((time) => Math.abs(Date.parse(time) - crashAt) < 3 * minuteMs)).toBe(true)

  const raw = await read(subject, 'memory_bytes', [end - 3_600_000, end, '10s'], end, ring)
  expect(raw.tier).toBe('raw')
  expect(raw.data.every(({ avg, min, max }) => avg === 2 ** 30 + 3 && min === avg && max === avg)).toBe(true)

  const days = await read(subject, 'up', [begin, end, '1d', 'Europe/Berlin'], end, ring)
  expect(days.data.map(({ seconds }) => seconds / 3600)).toEqual([24, 23])
}, 120_000)

test('windows that a dead replica has left are rolled up by another', async () => {
  const fleet = createFleet(2, 'b')
  const flusher = createFlusher()
  for (let now = begin; now < begin + 9 * minuteMs; now += intervalMs) fleet.push(now)
  await flusher.flush(fleet.flushed(), begin + 9 * minuteMs)
  const later = begin + 3_600_000
  expect(await rollUpLeftovers(() => intervalMs, later)).toBe(2)
  expect(await rollUpLeftovers(() => intervalMs, later)).toBe(0)
  const { data } = await read(
    fleet.subjects[1]!,
    'disk_read_bytes_per_second',
    [begin, begin + 10 * minuteMs, '10m'],
    later,
  )
  expect(data).toMatchObject([{ avg: 1000, covered: expect.closeTo(0.9, 1) }])
})

test('old chunks go by age and by bytes, of each tier by itself', async () => {
  const countOf = (tier: string) => mongoose.connection.db!.collection('metric_chunks').countDocuments({ tier })
  const [raw, minute] = [await countOf('raw'), await countOf('minute')]
  expect(raw).toBeGreaterThan(0)
  // Two days later raw samples are too old, minutes are not.
  await sweepHistory(begin + 4 * 86_400_000)
  expect(await countOf('raw')).toBe(0)
  expect(await countOf('minute')).toBe(minute)
  const sizes = await chunkModel.find({ tier: 'minute' }).lean<{ bytes: number }[]>()
  const all = sizes.reduce((sum, { bytes }) => sum + bytes, 0)
  await sweepHistory(begin + 4 * 86_400_000, { raw: 1, minute: all / 2, ten_minutes: 2 ** 40 })
  expect(await countOf('minute')).toBeLessThan(minute)
  expect(await countOf('minute')).toBeGreaterThan(0)
})

import { describe, expect, test } from 'vitest'
import { nextRun, nextRuns, previewOf } from '#shared/schedules/next-run.ts'
import { inTreeOrder } from '../../../services/vm/snapshots/tree.ts'
import { snapshotNameOf, surplusOf } from '../../../services/vm/schedules/names.ts'

const after = (text: string) => new Date(text)
const runs = (frequency: Parameters<typeof nextRuns>[0], timezone: string, from: string, count: number) =>
  nextRuns(frequency, timezone, after(from), count).map((run) => run.toISOString().slice(0, 16))

describe('the next run of a schedule', () => {
  test('is in its time zone, on the day of the week that 0 begins with Sunday', () => {
    expect(runs({ daily: { hour: 4 } }, 'Asia/Tokyo', '2026-05-01T00:00:00Z', 2)).toEqual([
      '2026-05-01T19:00',
      '2026-05-02T19:00',
    ])
    expect(runs({ weekly: { day: 0, hour: 1 } }, 'UTC', '2026-05-01T00:00:00Z', 1)).toEqual(['2026-05-03T01:00'])
  })

  test('on a day past the end of a month is on its last day, also in February of a leap year', () => {
    expect(runs({ monthly: { day: 31, hour: 0 } }, 'UTC', '2026-01-01T00:00:00Z', 4)).toEqual([
      '2026-01-31T00:00',
      '2026-02-28T00:00',
      '2026-03-31T00:00',
      '2026-04-30T00:00',
    ])
    expect(runs({ monthly: { day: 30, hour: 0 } }, 'UTC', '2028-02-01T00:00:00Z', 2)).toEqual([
      '2028-02-29T00:00',
      '2028-03-30T00:00',
    ])
    expect(runs({ monthly: { day: 31, hour: 23 } }, 'Pacific/Auckland', '2026-06-15T00:00:00Z', 1)).toEqual([
      '2026-06-30T11:00',
    ])
  })

  test('comes once on each day of a change of daylight saving (V6)', () => {
    const half = { custom: { cron: '30 2 * * *' } }
    expect(runs(half, 'Europe/Berlin', '2026-03-28T12:00:00Z', 2)).toHaveLength(2)
    const march = nextRuns(half, 'Europe/Berlin', after('2026-03-28T12:00:00Z'), 3)
    expect(new Set(march.map((run) => run.toISOString().slice(0, 10))).size).toBe(3)
    const october = nextRuns(half, 'Europe/Berlin', after('2026-10-24T12:00:00Z'), 3)
    expect(new Set(october.map((run) => run.toISOString().slice(0, 10))).size).toBe(3)
    // Santiago has no midnight on 6 September.
    const santiago = nextRuns({ daily: { hour: 0 } }, 'America/Santiago', after('2026-09-05T05:00:00Z'), 3)
    expect(new Set(santiago.map((run) => run.toISOString().slice(0, 10))).size).toBe(3)
  })

  test('comes every hour over both changes, under names of its own', () => {
    for (const day of ['2026-03-28T22:30:00Z', '2026-10-24T22:30:00Z']) {
      const hourly = nextRuns('hourly', 'Europe/Berlin', after(day), 6)
      const gaps = hourly.slice(1).map((run, index) => run.getTime() - hourly[index]!.getTime())
      expect(gaps).toEqual(Array(5).fill(3_600_000))
      expect(new Set(hourly.map((run) => snapshotNameOf('h', run))).size).toBe(6)
    }
  })

  test('that never comes is none, and a pattern that is none is refused', () => {
    expect(nextRun({ custom: { cron: '0 0 30 2 *' } }, 'UTC', after('2026-01-01T00:00:00Z'))).toBeNull()
    expect(() => nextRun({ custom: { cron: 'at noon' } }, 'UTC', new Date())).toThrow(/CronPattern/)
    expect(() => nextRun({ custom: { cron: '* * * * * *' } }, 'UTC', new Date())).toThrow()
  })
})

test('a preview marks the changes of daylight saving', () => {
  const runs = previewOf({ daily: { hour: 12 } }, 'Europe/Berlin', after('2026-03-27T12:00:00Z'), 20)
  expect(runs).toHaveLength(20)
  expect(runs.slice(0, 3)).toEqual([
    { at: '2026-03-28T11:00:00.000Z', local: '2026-03-28T12:00+01:00', daylight_saving: null },
    { at: '2026-03-29T10:00:00.000Z', local: '2026-03-29T12:00+02:00', daylight_saving: 'begins' },
    { at: '2026-03-30T10:00:00.000Z', local: '2026-03-30T12:00+02:00', daylight_saving: null },
  ])
  expect(previewOf({ daily: { hour: 12 } }, 'Europe/Berlin', after('2026-10-24T12:00:00Z'), 1)).toMatchObject([
    { daylight_saving: 'ends' },
  ])
})

test('a name has the time of the run in UTC', () => {
  expect(snapshotNameOf('nightly', after('2026-03-29T01:02:03.456Z'))).toBe('nightly_20260329_010203')
})

test('the surplus of a schedule is its oldest snapshots, the oldest first', () => {
  const own = ['03', '01', '02', '04'].map((day) => ({ id: day, created_at: `2026-01-${day}T00:00:00Z` }))
  expect(surplusOf(own, 2).map(({ id }) => id)).toEqual(['01', '02'])
  expect(surplusOf(own, 9)).toEqual([])
})

test('a clock that was set back makes no snapshot older than those that were there before (V5)', () => {
  const before = ['01', '02'].map((day, index) => ({
    id: day,
    created_at: `2026-01-${day}T00:00Z`,
    sequence: index + 1,
  }))
  const backADay = { id: 'last', created_at: '2026-01-01T00:00Z', sequence: 3 }
  const ofEarlierVersion = { id: 'old', created_at: '2026-01-09T00:00Z' }
  const all = [backADay, ...before, ofEarlierVersion]
  expect(surplusOf(all, 1).map(({ id }) => id)).toEqual(['old', '01', '02'])
  const placed = all.map((each) => ({ ...each, parent_id: null }))
  expect(inTreeOrder(placed).map(({ snapshot }) => snapshot.id)).toEqual(['old', '01', '02', 'last'])
})

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { nextRun } from '#shared/schedules/next-run.ts'
import { type Kept, keptBy, newestFirst, periodsOf } from '../../../services/storage/backups/jobs/retention.ts'

const none = { last: 0, hourly: 0, daily: 0, weekly: 0, monthly: 0, yearly: 0 }
const made = (...times: string[]): Kept[] => times.map((at) => ({ id: at, at, protected: false }))
const dayMs = 86_400_000

describe('a retention', () => {
  test('keeps the newest backup of a period, and counts only periods that have one', () => {
    const backups = made(
      '2026-01-01T01:00:00.000Z',
      '2026-01-01T20:00:00.000Z',
      '2026-01-05T01:00:00.000Z',
      '2026-03-01T01:00:00.000Z',
    )
    expect([...keptBy(backups, { ...none, daily: 3 }, 'UTC')]).toEqual([
      ['2026-03-01T01:00:00.000Z', 'daily 2026-03-01'],
      ['2026-01-05T01:00:00.000Z', 'daily 2026-01-05'],
      ['2026-01-01T20:00:00.000Z', 'daily 2026-01-01'],
    ])
  })

  test('has later rules skip periods of which an earlier one keeps a backup', () => {
    const backups = made('2026-10-10T01:00:00Z', '2026-10-02T01:00:00Z', '2026-09-30T01:00:00Z', '2025-12-31T01:00:00Z')
    const kept = keptBy(backups, { ...none, last: 1, weekly: 1, monthly: 1, yearly: 1 }, 'UTC')
    expect([...kept.values()]).toEqual(['last 1', 'weekly 2026-W40', 'monthly 2026-09', 'yearly 2025'])
    // September 30 is in the week of October 2, whose backup is kept.
    const weeks = keptBy(backups, { ...none, weekly: 9 }, 'UTC')
    expect([...weeks.values()]).toEqual(['weekly 2026-W41', 'weekly 2026-W40', 'weekly 2026-W01'])
  })

  test('has days of its time zone, and two hours of one name when daylight saving ends', () => {
    const [before, after] = ['2026-10-25T00:30:00Z', '2026-10-25T01:30:00Z']
    const kept = keptBy(made(before, after), { ...none, hourly: 5 }, 'Europe/Berlin')
    expect([...kept.values()]).toEqual(['hourly 2026-10-25T02+01:00', 'hourly 2026-10-25T02+02:00'])
    expect(periodsOf('2026-05-01T20:00:00Z', 'Asia/Tokyo').daily).toBe('2026-05-02')
    expect(periodsOf('2026-05-01T02:00:00Z', 'America/New_York').daily).toBe('2026-04-30')
  })

  test('has the weeks of ISO 8601 around the ends of years', () => {
    const weeks = {
      '2024-12-29': '2024-W52',
      '2024-12-30': '2025-W01',
      '2026-12-31': '2026-W53',
      '2027-01-03': '2026-W53',
      '2027-01-04': '2027-W01',
    }
    for (const [day, week] of Object.entries(weeks)) expect(periodsOf(`${day}T12:00:00Z`, 'UTC').weekly).toBe(week)
  })

  const some = fc.record({
    last: fc.nat(4),
    hourly: fc.nat(4),
    daily: fc.nat(4),
    weekly: fc.nat(4),
    monthly: fc.nat(4),
    yearly: fc.nat(4),
  })
  const times = fc.array(fc.record({ hours: fc.nat(24 * 900), protected: fc.boolean() }), { maxLength: 60 })
  const backupsOf = (all: { hours: number; protected: boolean }[]): Kept[] =>
    all.map(({ hours, protected: isProtected }, index) => ({
      id: `b${index}`,
      at: new Date(Date.UTC(2025, 0, 1) + hours * 3_600_000).toISOString(),
      protected: isProtected,
    }))
  const zones = fc.constantFrom('UTC', 'Europe/Berlin', 'America/Santiago', 'Asia/Kathmandu')

  test('keeps every protected backup and the newest one, at most as many as it counts, and no others a second time', () => {
    fc.assert(
      fc.property(times, some, zones, (all, retention, zone) => {
        const backups = backupsOf(all)
        const kept = keptBy(backups, retention, zone)
        const counted = backups.filter((backup) => !backup.protected)
        for (const { id } of backups.filter((backup) => backup.protected)) expect(kept.get(id)).toBe('protected')
        const most = Object.values(retention).reduce((sum, count) => sum + count, 0)
        const keptCounted = counted.filter(({ id }) => kept.has(id))
        expect(keptCounted.length).toBeLessThanOrEqual(most)
        const newest = counted.toSorted(newestFirst)[0]
        if (newest && most > 0) expect(kept.has(newest.id)).toBe(true)
        // Deleting the rest changes nothing: a second run of the retention keeps all.
        const left = backups.filter(({ id }) => kept.has(id))
        expect([...keptBy(left, retention, zone).keys()].toSorted()).toEqual([...kept.keys()].toSorted())
      }),
    )
  })

  test('keeps more, and nothing less, when one of its counts is raised, if that is its last rule', () => {
    fc.assert(
      fc.property(times, some, zones, (all, retention, zone) => {
        const backups = backupsOf(all)
        const more = keptBy(backups, { ...retention, yearly: retention.yearly + 1 }, zone)
        for (const [id, reason] of keptBy(backups, retention, zone)) expect(more.get(id)).toBe(reason)
      }),
    )
  })

  test('of hourly backups over a year has, on every day, what it promises', () => {
    const retention = { last: 3, hourly: 24, daily: 7, weekly: 4, monthly: 12, yearly: 2 }
    const zone = 'Europe/Berlin'
    let backups: Kept[] = []
    let deleted = 0
    let runs = 0
    const end = new Date('2027-01-10T00:00:00Z')
    for (
      let at = nextRun('hourly', zone, new Date('2026-01-01T00:00:00Z'))!;
      at < end;
      at = nextRun('hourly', zone, at)!
    ) {
      runs++
      backups.push({ id: `b${runs}`, at: at.toISOString(), protected: runs === 1000 })
      const kept = keptBy(backups, retention, zone)
      deleted += backups.length - kept.size
      backups = backups.filter(({ id }) => kept.has(id))
    }
    expect(runs).toBe((end.getTime() - Date.parse('2026-01-01T00:00:00Z')) / 3_600_000 - 1)
    expect(backups.length + deleted).toBe(runs)
    const reasons = [...keptBy(backups, retention, zone).values()]
    const count = (rule: string) => reasons.filter((reason) => reason.startsWith(rule)).length
    expect(['last', 'hourly', 'daily', 'weekly', 'monthly', 'yearly', 'protected'].map(count)).toEqual([
      3, 24, 7, 4, 11, 0, 1,
    ])
    expect(backups.map(({ id }) => id)).toContain('b1000')
    // December, and the first days of January, have backups of other rules.
    const months = new Set(backups.map(({ at }) => periodsOf(at, zone).monthly))
    expect(months.size).toBe(13)
    expect(Date.parse(backups.at(-1)!.at)).toBeGreaterThan(end.getTime() - dayMs)
  })
})

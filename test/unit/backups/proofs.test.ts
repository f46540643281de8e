import fc from 'fast-check'
import { expect, test } from 'vitest'
import { daysByPool, dueBoots } from '../../../services/storage/backups/jobs/prove-due.ts'
import { reasonOf } from '../../../services/storage/backups/jobs/unproven.ts'
import { judge, secondsOf } from '../../../services/storage/backups/proof/judge.ts'
import {
  beginRun,
  duePartsOf,
  type Ledger,
  noLedger,
  noteParts,
  partCount,
  provenAt,
} from '../../../services/storage/backups/proof/ledger.ts'

const dayMs = 86_400_000
const at = (day: number) => new Date(Date.UTC(2026, 0, 1) + day * dayMs).toISOString()
const ms = (day: number) => Date.parse(at(day))
const chunk = (part: number) => part.toString(16).padStart(2, '0').padEnd(64, '0')

/** One run: which parts it read, and the ledger after it. */
function runOn(ledger: Ledger, day: number, days: number, manifests: string[]) {
  const due = duePartsOf(ledger, days, ms(day))
  return { due, ledger: noteParts(beginRun(ledger, manifests, at(day)), due) }
}

test('a daily run reads everything once in the days that a job asks for', () => {
  const days = 30
  let ledger = noLedger()
  const read: number[] = []
  for (let day = 0; day < days; day++) {
    const run = runOn(ledger, day, days, ['a'])
    ledger = run.ledger
    read.push(...run.due)
    expect(run.due.length).toBeLessThan(10)
  }
  expect(new Set(read).size).toBe(partCount)
})

test('a run after missed days reads their shares as well, and a run of one day reads everything', () => {
  const first = runOn(noLedger(), 0, 32, [])
  expect(first.due).toHaveLength(8)
  expect(runOn(first.ledger, 4, 32, []).due).toHaveLength(32)
  expect(runOn(first.ledger, 0, 1, []).due).toHaveLength(partCount)
  expect(runOn(first.ledger, -1, 32, []).due).toHaveLength(0)
})

test('a backup is proven when each of its parts was read since it was there, and its verification has the age of the earliest', () => {
  const chunks = [chunk(0), chunk(1), chunk(1)]
  let ledger = noteParts(beginRun(noLedger(), [], at(0)), [0, 1])
  expect(provenAt(ledger, 'new', chunks)).toBeNull()
  ledger = noteParts(beginRun(ledger, ['new'], at(1)), [0])
  expect(provenAt(ledger, 'new', chunks)).toBeNull()
  ledger = noteParts(beginRun(ledger, ['new'], at(2)), [1])
  expect(provenAt(ledger, 'new', chunks)).toBe(at(1))
  ledger = noteParts(beginRun(ledger, ['new'], at(3)), [0])
  expect(provenAt(ledger, 'new', chunks)).toBe(at(2))
  expect(provenAt(ledger, 'new', [])).toBe(at(3))
  expect(beginRun(ledger, [], at(4)).since).toEqual({})
})

test('a verification never says more than was read, whatever the order of runs', () => {
  const step = fc.record({
    days: fc.integer({ min: 1, max: 40 }),
    pause: fc.integer({ min: 0, max: 9 }),
    isNew: fc.boolean(),
  })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
      let [ledger, day] = [noLedger(), 0]
      const manifests: string[] = []
      const reads = new Map<string, Map<number, string>>()
      for (const { days, pause, isNew } of steps) {
        if (isNew) manifests.push(`backup ${manifests.length}`)
        const run = runOn(ledger, (day += pause), days, manifests)
        ledger = run.ledger
        for (const manifest of manifests) {
          const own = reads.get(manifest) ?? new Map<number, string>()
          for (const part of run.due) own.set(part, at(day))
          reads.set(manifest, own)
        }
      }
      for (const manifest of manifests) {
        const own = [3, 200].map((part) => reads.get(manifest)!.get(part))
        const expected = own.includes(undefined) ? null : (own as string[]).toSorted()[0]!
        expect(provenAt(ledger, manifest, [chunk(3), chunk(200)])).toBe(expected)
      }
    }),
  )
})

const seen = { isRunning: true, serial: null, agent: null, readBytes: null }

test('a guest is judged by its sign, and not before its time is over', () => {
  const serial = { kind: 'serial', text: 'login:' } as const
  expect(judge(serial, { ...seen, serial: 'booting' }, false)).toBeNull()
  expect(judge(serial, { ...seen, serial: 'host login: ' }, false)).toMatchObject({ ok: true })
  expect(judge(serial, { ...seen, serial: 'host login: ', isRunning: false }, false)).toMatchObject({ ok: true })
  expect(judge(serial, { ...seen, serial: 'booting' }, true)).toMatchObject({ ok: false })
  expect(judge({ kind: 'agent' }, { ...seen, agent: 'The agent answers' }, false)).toMatchObject({ ok: true })
  expect(judge({ kind: 'agent' }, seen, true)).toMatchObject({ ok: false })
  expect(judge({ kind: 'running' }, seen, false)).toBeNull()
  expect(judge({ kind: 'running' }, { ...seen, readBytes: 2 ** 20 }, true)?.detail).toContain('1.0 MiB')
  expect(judge({ kind: 'running' }, { ...seen, isRunning: false }, true)).toMatchObject({ ok: false })
  expect(secondsOf({ kind: 'running' })).toBe(60)
  expect(secondsOf({ kind: 'agent', seconds: 5 })).toBe(5)
})

test('the newest backup of a virtual machine is booted when its last boot, of any backup, is too old', () => {
  const proof = (day: number, ok = true) => ({ at: at(day), ok, error: null })
  const own = [
    { id: 'a1', vm_id: 'a', taken_at: at(1), boot: proof(2) },
    { id: 'a2', vm_id: 'a', taken_at: at(9), boot: null },
    { id: 'b1', vm_id: 'b', taken_at: at(1), boot: null },
    { id: 'c1', vm_id: 'c', taken_at: at(1), boot: proof(8, false) },
  ]
  expect(dueBoots(own, 7 * 24, ms(9)).map(({ id }) => id)).toEqual(['b1', 'a2'])
  expect(dueBoots(own, 8 * 24, ms(9)).map(({ id }) => id)).toEqual(['b1'])
})

test('a virtual machine is unproven when its last verification has failed, or its newest good one is too old', () => {
  const asked = { level: 'boot', maxAgeHours: 48, since: at(0) } as const
  const proof = (day: number, error: string | null = null) => ({ at: at(day), ok: error === null, error })
  expect(reasonOf([], asked, ms(2))).toBeNull()
  expect(reasonOf([], asked, ms(3))).toBe('It has no boot verification')
  expect(reasonOf([proof(5), proof(1)], asked, ms(6))).toBeNull()
  expect(reasonOf([proof(1), proof(5)], asked, ms(8))).toContain('older than 48 hours')
  expect(reasonOf([proof(5, 'no login'), proof(4)], asked, ms(5))).toContain('no login')
  expect(reasonOf([proof(4, 'no login'), proof(5)], asked, ms(5))).toBeNull()
})

test('a store is read by the job that asks for the fewest days', () => {
  const proof = (data_days: number | null) => ({
    data_days,
    boot: null,
    max_data_age_hours: null,
    max_boot_age_hours: null,
  })
  const jobs = [
    { pool: 'x', proof: proof(30) },
    { pool: 'x', proof: proof(7) },
    { pool: 'y', proof: proof(null) },
    { pool: 'z', proof: null },
  ]
  expect([...daysByPool(jobs)]).toEqual([['x', 7]])
})

import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { AuditRecord } from '#shared/contracts/audit.ts'
import { chained, hashOf } from '../../services/audit/record.ts'
import { signingKeyFrom, publicKeyOf } from '../../services/audit/signing.ts'
import { verifyLines, verifyText } from '../../services/audit/verify-file.ts'
import { chainOf, entry, exportOf, publicKey } from './audit-exports.ts'

const records = chainOf(60)
const lines = exportOf(records)
const text = `${lines.join('\n')}\n`
const recordLines = lines.flatMap((line, i) => (line.includes('"seq"') && !line.includes('"type"') ? [i] : []))
const seqAt = (line: number) => (JSON.parse(lines[line]!) as AuditRecord).seq

const check = (tampered: readonly string[]) => verifyLines(tampered, { publicKey })
const without = (at: number) => lines.toSpliced(at, 1)

test('an untouched export is valid, with and without knowing the key', () => {
  expect(check(lines)).toMatchObject({
    valid: true,
    records: 60,
    from_seq: 1,
    to_seq: 60,
    checkpoints: 6,
    findings: [],
  })
  expect(verifyText(text)).toMatchObject({ valid: true, public_key: publicKey })
})

test('a flipped bit is found wherever it is', () => {
  const bytes = Buffer.from(text.trimEnd())
  fc.assert(
    fc.property(fc.nat(bytes.length - 1), fc.nat(7), (at, bit) => {
      const copy = Buffer.from(bytes)
      copy[at]! ^= 1 << bit
      expect(verifyText(copy.toString('utf8'), { publicKey }).valid).toBe(false)
    }),
    { numRuns: 300 },
  )
})

test('a flipped bit of a record is located at its line', () => {
  fc.assert(
    fc.property(fc.constantFrom(...recordLines), fc.nat(), fc.nat(6), (line, place, bit) => {
      const bytes = Buffer.from(lines[line]!)
      bytes[place % bytes.length]! ^= 1 << bit
      const altered = bytes.toString('utf8')
      fc.pre(!altered.includes('\n'))
      const { valid, findings } = check(lines.with(line, altered))
      expect(valid).toBe(false)
      expect(findings[0]).toMatchObject({ line: line + 1, seq: seqAt(line) })
      expect(['altered', 'malformed']).toContain(findings[0]!.problem)
    }),
    { numRuns: 200 },
  )
})

test('a dropped record is named', () => {
  fc.assert(
    fc.property(fc.constantFrom(...recordLines), (line) => {
      const { findings } = check(without(line))
      expect(
        findings.some(({ problem, seq }) => ['missing', 'truncated'].includes(problem) && seq === seqAt(line)),
      ).toBe(true)
    }),
    { numRuns: 200 },
  )
})

test('two records that were swapped are found', () => {
  const pair = fc.tuple(fc.constantFrom(...recordLines), fc.constantFrom(...recordLines)).filter(([a, b]) => a < b)
  fc.assert(
    fc.property(pair, ([a, b]) => {
      const { valid, findings } = check(lines.with(a, lines[b]!).with(b, lines[a]!))
      expect(valid).toBe(false)
      expect(findings.some(({ problem, seq }) => problem === 'misplaced' && seq === seqAt(a))).toBe(true)
    }),
    { numRuns: 200 },
  )
})

test('an inserted record is located: a copy, a stranger, one that is chained to its place', () => {
  const forged = (after: AuditRecord) => chained(entry(999), after.seq + 1, after.hash)
  fc.assert(
    fc.property(fc.constantFrom(...recordLines), fc.nat(2), fc.nat(59), (line, how, other) => {
      const made = [
        JSON.stringify(records[other]),
        JSON.stringify(chained(entry(999), 5000, 'f'.repeat(64))),
        JSON.stringify(forged(JSON.parse(lines[line]!) as AuditRecord)),
      ][how]!
      const { valid, findings } = check(lines.toSpliced(line + 1, 0, made))
      expect(valid).toBe(false)
      expect(findings.length).toBeGreaterThan(0)
    }),
    { numRuns: 200 },
  )
})

test('an export that ends too early is truncated, and it is said where', () => {
  fc.assert(
    fc.property(fc.integer({ min: 2, max: lines.length - 2 }), (count) => {
      const { valid, findings, to_seq } = check(lines.slice(0, count))
      expect(valid).toBe(false)
      expect(findings.some(({ problem, seq }) => problem === 'truncated' && seq === to_seq! + 1)).toBe(true)
    }),
    { numRuns: 200 },
  )
})

test('a chain written anew from some record on does not fit its signatures', () => {
  fc.assert(
    fc.property(fc.nat(58), (from) => {
      let hash = records[from]!.prev_hash
      const anew = records.slice(from).map((record) => {
        const { hash: _, ...rest } = { ...record, kind: 'logout' as const, prev_hash: hash }
        hash = hashOf(rest)
        return { ...rest, hash }
      })
      const all = [...records.slice(0, from), ...anew].map((record) => JSON.stringify(record))
      let next = 0
      const tampered = lines.map((line, i) => (recordLines.includes(i) ? all[next++]! : line))
      const { valid, findings } = check(tampered)
      expect(valid).toBe(false)
      expect(findings[0]!.problem).toBe('altered')
    }),
    { numRuns: 100 },
  )
})

test('an export signed with another key is refused when the right one is known', () => {
  const stranger = publicKeyOf(signingKeyFrom('somebody else entirely, with a key of their own'))
  const { valid, findings } = verifyLines(lines, { publicKey: stranger })
  expect(valid).toBe(false)
  expect(findings[0]!.problem).toBe('signature')
})

test('records without a signed head are not proven to be all', () => {
  const { valid, findings } = check(recordLines.map((line) => lines[line]!))
  expect(valid).toBe(false)
  expect(findings).toMatchObject([{ problem: 'unanchored' }])
})

test('removed personal data leaves the proof valid; invented data does not', () => {
  const removed = records.map((record) => {
    const { user: _, address: __, ...salts } = record.salts
    return { ...record, user: null, address: null, salts }
  })
  expect(check(exportOf(removed as AuditRecord[]))).toMatchObject({ valid: true, removed: 60 })
  const invented = removed.with(30, { ...removed[30]!, user: null, address: '203.0.113.5' as never })
  expect(check(exportOf(invented as AuditRecord[])).findings[0]).toMatchObject({ seq: 31, problem: 'altered' })
})

import fc from 'fast-check'
import { expect } from 'vitest'
import type { AuditRecord } from '#shared/contracts/core/audit.ts'
import { chained, hashOf } from '../../../services/audit/chain/record.ts'
import { verifyLines, verifyText } from '../../../services/audit/verify/verify-file.ts'
import { chainOf, entry, exportOf, publicKey } from './exports.ts'

const records = chainOf(60)
const lines = exportOf(records)
const text = `${lines.join('\n')}\n`
const recordLines = lines.flatMap((line, i) => (line.includes('"seq"') && !line.includes('"type"') ? [i] : []))
const seqAt = (line: number) => (JSON.parse(lines[line]!) as AuditRecord).seq

const check = (tampered: readonly string[]) => verifyLines(tampered, { publicKey })
const without = (at: number) => lines.toSpliced(at, 1)

/** Each way of tampering, at so many places: every one is found. */
export const tampering: Record<string, (numRuns: number) => void> = {
  'a flipped bit is found wherever it is': (numRuns) => {
    const bytes = Buffer.from(text.trimEnd())
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.nat(7), (at, bit) => {
        const copy = Buffer.from(bytes)
        copy[at]! ^= 1 << bit
        expect(verifyText(copy.toString('utf8'), { publicKey }).valid).toBe(false)
      }),
      { numRuns },
    )
  },

  'a flipped bit of a record is located at its line': (numRuns) => {
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
      { numRuns },
    )
  },

  'a dropped record is named': (numRuns) => {
    fc.assert(
      fc.property(fc.constantFrom(...recordLines), (line) => {
        const { findings } = check(without(line))
        expect(
          findings.some(({ problem, seq }) => ['missing', 'truncated'].includes(problem) && seq === seqAt(line)),
        ).toBe(true)
      }),
      { numRuns },
    )
  },

  'two records that were swapped are found': (numRuns) => {
    const pair = fc.tuple(fc.constantFrom(...recordLines), fc.constantFrom(...recordLines)).filter(([a, b]) => a < b)
    fc.assert(
      fc.property(pair, ([a, b]) => {
        const { valid, findings } = check(lines.with(a, lines[b]!).with(b, lines[a]!))
        expect(valid).toBe(false)
        expect(findings.some(({ problem, seq }) => problem === 'misplaced' && seq === seqAt(a))).toBe(true)
      }),
      { numRuns },
    )
  },

  'an inserted record is located: a copy, a stranger, one that is chained to its place': (numRuns) => {
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
      { numRuns },
    )
  },

  'an export that ends too early is truncated, and it is said where': (numRuns) => {
    fc.assert(
      fc.property(fc.integer({ min: 2, max: lines.length - 2 }), (count) => {
        const { valid, findings, to_seq } = check(lines.slice(0, count))
        expect(valid).toBe(false)
        expect(findings.some(({ problem, seq }) => problem === 'truncated' && seq === to_seq! + 1)).toBe(true)
      }),
      { numRuns },
    )
  },

  'a chain written anew from some record on does not fit its signatures': (numRuns) => {
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
      { numRuns },
    )
  },
}

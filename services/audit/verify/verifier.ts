import type { AuditRecord, Checkpoint, ExportHead, Finding, Verdict } from '#shared/contracts/core/audit.ts'
import { type Gap, newGaps } from '../chain/gaps.ts'
import { fingerprintOf } from './public-key.ts'
import { flawOf, isRemoved } from '../chain/record.ts'
import { isSignedCheckpoint, isSignedHead } from '../chain/signing.ts'

/** Verifier of a chain. Takes its pieces in order and reports all defects in the verdict. */
export type Verifier = {
  head: (head: ExportHead, line: number | null) => void
  record: (record: AuditRecord, line: number | null) => void
  checkpoint: (checkpoint: Checkpoint, line: number | null) => void
  /** A piece that is neither head, record nor checkpoint. */
  malformed: (message: string, line: number | null) => void
  end: () => Verdict
}

export type VerifierOptions = {
  /** Public key of the installation from a trusted source. Without it the key in the export is trusted. */
  publicKey?: string | undefined
  /** Called for each finding; the verdict contains only the first thousand. */
  onFinding?: ((finding: Finding) => void) | undefined
}

type Suspect = { line: number | null; message: string; malformed: boolean }
const maxFindings = 1000
const maxSuspects = 100_000

export function newVerifier({ publicKey, onFinding }: VerifierOptions = {}): Verifier {
  const findings: Finding[] = []
  let head: ExportHead | undefined
  let trusted = publicKey
  let last: { seq: number; hash: string; line: number | null } | undefined
  let first: number | undefined
  let records = 0
  let removed = 0
  let seenCheckpoints = 0
  // Pieces whose own `seq` cannot be trusted; they get a place from the next valid record.
  let suspects: Suspect[] = []

  const find = (problem: Finding['problem'], seq: number | null, line: number | null, message: string) => {
    const finding = { seq, line, problem, message }
    if (findings.length < maxFindings) findings.push(finding)
    onFinding?.(finding)
  }
  const gaps = newGaps((gap) => find('missing', gap.from, null, notThere(gap)))

  /**
   * Assigns places to the suspects since the last valid record: `gap` of them stand for missing records, the others
   * were inserted.
   */
  const place = (from: number, gap: number, behind: number | null = null) => {
    suspects.forEach(({ line, message, malformed }, i) => {
      if (i < gap) find(malformed ? 'malformed' : 'altered', from + i, line, `record ${from + i}: ${message}`)
      else find('inserted', null, line, `a piece that belongs to no record: ${message}`)
    })
    const placed = Math.min(suspects.length, gap)
    suspects = []
    gaps.add(from + placed, from + gap - 1, behind)
  }

  const suspect = (one: Suspect) => {
    suspects.push(one)
    // Too many in a row: report them without waiting for a valid record.
    if (suspects.length >= maxSuspects) place(next(), 0)
  }

  const next = () => (last ? last.seq + 1 : (head?.from_seq ?? first ?? 1))

  const late = (record: AuditRecord, line: number | null) => {
    const { seq, hash } = record
    const awaited = gaps.fill(seq)
    if (awaited === undefined)
      return find('duplicate', seq, line, `record ${seq} occurs twice, or a false one was inserted`)
    find('misplaced', seq, line, `record ${seq} follows record ${last?.seq}`)
    if (awaited !== null && awaited !== hash)
      find('altered', seq, line, `record ${seq} is not the one that record ${seq + 1} follows`)
  }

  /** The next expected place; for records without a head the first valid one decides. */
  const earliest = ({ seq }: AuditRecord) => (last || head ? next() : seq - suspects.length)

  const follow = (record: AuditRecord, line: number | null) => {
    const { seq, prev_hash, hash } = record
    const from = earliest(record)
    const isNext = seq === from && suspects.length === 0
    const before = last?.hash ?? head?.prev_hash
    place(from, seq - from, line)
    if (isNext && before !== undefined && prev_hash !== before)
      find('altered', seq - 1, last?.line ?? line, `record ${seq - 1} is not the one that record ${seq} follows`)
    if (!isNext) gaps.expect(seq - 1, prev_hash)
    first ??= from
    last = { seq, hash, line }
  }

  const endByHead = ({ to_seq, hash, checkpoints }: ExportHead) => {
    const from = next()
    place(from, Math.max(0, to_seq - from + 1))
    if (last && last.seq > to_seq) find('inserted', last.seq, last.line, 'there are more records than signed')
    if (last?.seq === to_seq && last.hash !== hash)
      find('altered', last.seq, last.line, `record ${last.seq} is not the one that was signed`)
    if (seenCheckpoints !== checkpoints)
      find('missing', null, null, `${checkpoints} checkpoints were signed, ${seenCheckpoints} are there`)
  }
  const endWithoutHead = () => {
    place(next(), 0)
    const unsigned = trusted === undefined ? ', nor who has signed it' : ''
    const message = `there is no signed head, so records may be missing at the end${unsigned}`
    find('unanchored', null, null, message)
  }

  return {
    head: (given, line) => {
      if (head || last || suspects.length > 0)
        return find('misplaced', null, line, 'a head of an export lies in the middle of it')
      head = given
      trusted ??= given.public_key
      if (given.public_key !== trusted) {
        const theirs = fingerprintOf(given.public_key)
        find(
          'signature',
          null,
          line,
          `the export was signed with another key, ${theirs}: by another installation, or again later`,
        )
        // The head can still be checked against its own key.
        trusted = given.public_key
      } else if (!isSignedHead(given, trusted)) find('signature', null, line, 'the signature of the head is wrong')
    },

    record: (record, line) => {
      records++
      if (isRemoved(record)) removed++
      const flaw = flawOf(record)
      if (flaw) suspect({ line, message: flaw, malformed: false })
      else if (record.seq < earliest(record)) late(record, line)
      else follow(record, line)
    },

    checkpoint: (checkpoint, line) => {
      seenCheckpoints++
      const { seq, hash } = checkpoint
      // Without a head and a key the signature cannot be checked; the missing head is reported at the end.
      if (trusted !== undefined && !isSignedCheckpoint(checkpoint, trusted))
        return find('signature', seq, line, `the signature of the checkpoint at record ${seq} is wrong`)
      const at = last?.seq ?? (head ? head.from_seq - 1 : undefined)
      if (suspects.length > 0) return
      if (at !== undefined && at !== seq)
        return find('misplaced', seq, line, `the checkpoint of record ${seq} follows record ${at}`)
      if (last && last.hash !== hash)
        find('altered', seq, line, `record ${seq} is not the one that was signed: the chain before it was rewritten`)
    },

    malformed: (message, line) => suspect({ line, message, malformed: true }),

    end: () => {
      if (head) endByHead(head)
      else endWithoutHead()
      // A gap after the last record is a truncation.
      for (const gap of gaps.left())
        find(head && last && gap.from > last.seq ? 'truncated' : 'missing', gap.from, null, notThere(gap))
      return {
        valid: findings.length === 0,
        records,
        from_seq: first ?? null,
        to_seq: last?.seq ?? null,
        head_hash: last?.hash ?? null,
        removed,
        checkpoints: seenCheckpoints,
        public_key: trusted ?? null,
        findings,
      }
    },
  }
}

function notThere({ from, to, line }: Gap): string {
  const what = from === to ? `record ${from} is not there` : `records ${from} to ${to} are not there`
  return line === null ? what : `${what}: the gap is before line ${line}`
}

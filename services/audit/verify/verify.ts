import { readMany } from '#shared/db/read.ts'
import type { AuditRecord, Checkpoint, Finding, Verdict } from '#shared/contracts/core/audit.ts'
import { type End, fromStore, type StoredRecord } from '../chain/chain.ts'
import { checkpointsBetween, lastCut, publicKey, readAnchor, signingKey } from '../chain/checkpoints.ts'
import { chain } from '../models.ts'
import { noHash } from '../chain/record.ts'
import { isSignedCheckpoint, signHead } from '../chain/signing.ts'
import { newVerifier, type Verifier } from './verifier.ts'

const pageSize = 2000

function readFrom(seq: number, to: number) {
  return readMany<StoredRecord>(chain, { seq: { $gte: seq, $lte: to } }, { sort: { seq: 1 }, limit: pageSize })
}

/** Verifies the stored chain up to `end`. @param known a record and its hash that the caller has kept */
export async function verifyStore(end: End, known?: End): Promise<Verdict> {
  const verifier = newVerifier({ publicKey: publicKey() })
  const cut = await lastCut()
  const begin = cut ?? { seq: 0, hash: noHash }
  const to = Math.max(end.seq, begin.seq)
  const marks = await checkpointsBetween(begin.seq + 1, Number.MAX_SAFE_INTEGER)
  verifier.head(headOf(begin, { seq: to, hash: end.hash }, marks.filter(({ seq }) => seq <= to).length), null)
  const anchors = [await readAnchor(), known].flatMap((one) => (one && one.seq > begin.seq ? [one] : []))
  const found = await readThrough(verifier, begin.seq + 1, to, marks, anchors)
  if (cut && !isSignedCheckpoint(cut, publicKey()))
    found.push(finding(cut.seq, 'signature', 'what was removed before was not removed by retention'))
  const verdict = verifier.end()
  const findings = [...verdict.findings, ...found]
  return { ...verdict, valid: findings.length === 0, findings }
}

function headOf(begin: End, end: End, checkpoints: number) {
  return signHead(
    {
      type: 'head',
      from_seq: begin.seq + 1,
      to_seq: end.seq,
      prev_hash: begin.hash,
      hash: end.hash,
      checkpoints,
      time: new Date().toISOString(),
      public_key: publicKey(),
    },
    signingKey(),
  )
}

/** Feeds the chain with its checkpoints to the verifier. @returns findings about anchors that do not match */
async function readThrough(verifier: Verifier, from: number, to: number, marks: Checkpoint[], anchors: End[]) {
  const findings: Finding[] = []
  const waiting = [...marks]
  const missed = new Map(anchors.map((anchor) => [anchor.seq, anchor]))
  const take = (record: AuditRecord) => {
    while (waiting[0] && waiting[0].seq < record.seq) verifier.checkpoint(waiting.shift()!, null)
    verifier.record(record, null)
    if (waiting[0]?.seq === record.seq) verifier.checkpoint(waiting.shift()!, null)
    for (const { seq, hash } of anchors.filter((anchor) => anchor.seq === record.seq)) {
      missed.delete(seq)
      if (hash !== record.hash)
        findings.push(finding(seq, 'altered', `record ${seq} is not the one in the anchor outside the store`))
    }
  }
  for (let next = from; ;) {
    const page = await readFrom(next, to)
    for (const stored of page) take(fromStore(stored))
    if (page.length < pageSize) break
    next = page.at(-1)!.seq + 1
  }
  for (const seq of missed.keys())
    findings.push(finding(seq, 'truncated', `record ${seq}, which the anchor outside the store names, is missing`))
  for (const { seq } of waiting)
    findings.push(finding(seq, 'truncated', `record ${seq}, which has a signed checkpoint, is missing`))
  return findings
}

function finding(seq: number, problem: Finding['problem'], message: string): Finding {
  return {
    seq,
    line: null,
    problem,
    message,
  }
}

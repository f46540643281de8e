import { inStore } from '#shared/db/connect.ts'
import type { Finding, Verdict } from '#shared/contracts/audit.ts'
import { type End, fromStore, type StoredRecord } from './chain.ts'
import { checkpointsBetween, lastCut, publicKey, readAnchor, signingKey } from './checkpoints.ts'
import { chain } from './models.ts'
import { noHash } from './record.ts'
import { isSignedCheckpoint, signHead } from './signing.ts'
import { newVerifier } from './verifier.ts'

const pageSize = 2000

const readFrom = async (seq: number, to: number): Promise<StoredRecord[]> =>
  (await inStore(() =>
    chain.collection
      .find({ seq: { $gte: seq, $lte: to } } as never, { sort: { seq: 1 }, limit: pageSize })
      .toArray(),
  )) as unknown as StoredRecord[]

/**
 * Proves the chain as it lies in the store, up to `end`.
 * @param known a place whose hash somebody has kept
 */
export async function verifyStore(end: End, known?: End): Promise<Verdict> {
  const verifier = newVerifier({ publicKey: publicKey() })
  const cut = await lastCut()
  const begin = cut ? { seq: cut.seq, hash: cut.hash } : { seq: 0, hash: noHash }
  const anchor = await readAnchor()
  const anchors = [anchor, known].filter((one): one is End => one !== null && one !== undefined)
  const marks = await checkpointsBetween(begin.seq + 1, Number.MAX_SAFE_INTEGER)
  const findings: Finding[] = []
  const to_seq = Math.max(end.seq, begin.seq)
  verifier.head(
    signHead(
      {
        type: 'head',
        from_seq: begin.seq + 1,
        to_seq,
        prev_hash: begin.hash,
        hash: end.hash,
        checkpoints: marks.filter(({ seq }) => seq <= to_seq).length,
        time: new Date().toISOString(),
        public_key: publicKey(),
      },
      signingKey(),
    ),
    null,
  )
  if (cut && !isSignedCheckpoint(cut, publicKey()))
    findings.push(finding(cut.seq, 'signature', 'what was removed before was not removed by retention'))
  const waiting = [...marks]
  const met = new Set<number>()
  for (let seq = begin.seq + 1; ; ) {
    const page = await readFrom(seq, to_seq)
    for (const stored of page) {
      const record = fromStore(stored)
      while (waiting[0] && waiting[0].seq < record.seq) verifier.checkpoint(waiting.shift()!, null)
      verifier.record(record, null)
      if (waiting[0]?.seq === record.seq) verifier.checkpoint(waiting.shift()!, null)
      for (const { seq: at, hash } of anchors) {
        if (at !== record.seq) continue
        met.add(at)
        if (hash !== record.hash)
          findings.push(finding(at, 'altered', `record ${at} is not the one that was noted outside of the store`))
      }
    }
    if (page.length < pageSize) break
    seq = page.at(-1)!.seq + 1
  }
  for (const { seq } of anchors)
    if (seq > begin.seq && !met.has(seq))
      findings.push(finding(seq, 'truncated', `record ${seq}, which was noted outside of the store, is not there`))
  for (const { seq } of waiting)
    findings.push(finding(seq, 'truncated', `record ${seq}, for which there is a signed checkpoint, is not there`))
  const verdict = verifier.end()
  const all = [...verdict.findings, ...findings]
  return { ...verdict, valid: all.length === 0, findings: all }
}

const finding = (seq: number, problem: Finding['problem'], message: string): Finding => ({
  seq,
  line: null,
  problem,
  message,
})

import type { AuditEntry, AuditRecord, Checkpoint, ExportHead } from '#shared/contracts/core/audit.ts'
import { chained, noHash } from '../../../services/audit/chain/record.ts'
import { publicKeyOf, signCheckpoint, signHead, signingKeyFrom } from '../../../services/audit/chain/signing.ts'

export const key = signingKeyFrom('a secret of the installation, long enough')
export const publicKey = publicKeyOf(key)

export const entry = (i: number): AuditEntry => ({
  id: `entry-${i}`,
  time: new Date(Date.UTC(2026, 0, 1) + i * 1000).toISOString(),
  kind: i % 3 === 0 ? 'login' : 'vm_started',
  user: `user${i % 7}`,
  address: i % 5 === 0 ? null : `192.0.2.${i % 250}`,
  path: `/api/vms/${i}`,
  action: 'vms.start',
  result: 'success',
  severity: 'info',
  request_id: `request-${i}`,
  operation_id: null,
  before_hash: null,
  after_hash: null,
  message: i % 4 === 0 ? `wörds № ${i}` : null,
})

export function chainOf(count: number): AuditRecord[] {
  let hash = noHash
  return Array.from({ length: count }, (_, i) => {
    const record = chained(entry(i + 1), i + 1, hash)
    hash = record.hash
    return record
  })
}

/** An export as the service makes it, with a checkpoint after every `every` records. */
export function exportOf(records: AuditRecord[], every = 10): string[] {
  const time = '2026-02-01T00:00:00.000Z'
  const pieces: (AuditRecord | Checkpoint)[] = records.flatMap((record) =>
    record.seq % every === 0
      ? [record, signCheckpoint({ type: 'checkpoint', seq: record.seq, hash: record.hash, time }, key)]
      : [record],
  )
  const [first, last] = [records[0]!, records.at(-1)!]
  const head: ExportHead = signHead(
    {
      type: 'head',
      from_seq: first.seq,
      to_seq: last.seq,
      prev_hash: first.prev_hash,
      hash: last.hash,
      checkpoints: pieces.length - records.length,
      time,
      public_key: publicKey,
    },
    key,
  )
  return [head, ...pieces].map((piece) => JSON.stringify(piece))
}

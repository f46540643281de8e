import type { AuditRecord, Checkpoint, ExportHead } from '#shared/contracts/core/audit.ts'
import { readMany } from '#shared/db/read.ts'
import type { PageOf } from '#shared/db/page.ts'
import { invalid } from '#shared/errors.ts'
import { now } from '#shared/events/event.ts'
import { endOfChain, fromStore, type StoredRecord } from '../chain/chain.ts'
import { checkpointsBetween, lastCut, makeCheckpoint, publicKey, signingKey } from '../chain/checkpoints.ts'
import { chain } from '../models.ts'
import { noHash } from '../chain/record.ts'
import { signHead } from '../chain/signing.ts'

type Piece = ExportHead | AuditRecord | Checkpoint
/** Position of an export: the last exported record, the end of the chain at its beginning, and that time. */
type Place = { after: number; to: number; time: string }

const cursorOf = ({ after, to, time }: Place) => Buffer.from(JSON.stringify([after, to, time])).toString('base64url')

function placeOf(cursor: string): Place {
  try {
    const [after, to, time] = JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8')) as [number, number, string]
    if (Number.isSafeInteger(after) && Number.isSafeInteger(to) && !Number.isNaN(Date.parse(time)))
      return { after, to, time }
  } catch {
    // Refused below.
  }
  throw invalid('cursor', 'is not a cursor of this export')
}

/** One page of an export for the verifier: first a signed head, then the records in order with their checkpoints. */
export async function exportPage(limit: number, cursor: string | undefined): Promise<PageOf<Piece>> {
  const begun = cursor === undefined ? await begin() : { head: [], place: placeOf(cursor) }
  const { after, to, time } = begun.place
  const filter = { seq: { $gt: after, $lte: to } }
  const stored = await readMany<StoredRecord>(chain, filter, { sort: { seq: 1 }, limit: limit + 1 })
  const more = stored.length > limit
  if (more) stored.pop()
  const last = stored.at(-1)?.seq ?? after
  const marks = (await checkpointsBetween(after + 1, last)).filter((mark) => mark.time <= time)
  const data = [...begun.head, ...stored.flatMap((one) => withMarks(fromStore(one), marks))]
  return { data, next_cursor: more ? cursorOf({ after: last, to, time }) : null, total: to }
}

function withMarks(record: AuditRecord, marks: Checkpoint[]): Piece[] {
  return [record, ...marks.filter(({ seq }) => seq === record.seq)]
}

async function begin(): Promise<{ head: ExportHead[]; place: Place }> {
  const cut = await lastCut()
  const start = cut ?? { seq: 0, hash: noHash }
  const end = await endOfChain()
  if (end.seq > start.seq) await makeCheckpoint(end)
  const time = now()
  const marks = (await checkpointsBetween(start.seq + 1, end.seq)).filter((mark) => mark.time <= time)
  const head = signHead(
    {
      type: 'head',
      from_seq: start.seq + 1,
      to_seq: end.seq,
      prev_hash: start.hash,
      hash: end.hash,
      checkpoints: marks.length,
      time,
      public_key: publicKey(),
    },
    signingKey(),
  )
  return { head: [head], place: { after: start.seq, to: end.seq, time } }
}

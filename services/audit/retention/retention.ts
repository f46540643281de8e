import { removeAll, update } from '#shared/db/guarded.ts'
import { readFirst } from '#shared/db/read.ts'
import { log } from '#shared/runtime/log.ts'
import { type End } from '../chain/chain.ts'
import { makeCheckpoint } from '../chain/checkpoints.ts'
import { auditState, chain, checkpoints } from '../models.ts'

const id = 'retention'

/** Retention in days; null (the default) keeps records for ever. */
export async function retentionDays(): Promise<number | null> {
  const stored = await readFirst<{ days?: number | null }>(auditState, { _id: id })
  return stored?.days ?? null
}

export async function setRetentionDays(days: number | null): Promise<void> {
  await update(auditState, { _id: id }, { $set: { days } }, { upsert: true })
}

/**
 * Removes expired records from the beginning of the chain. The cut is signed first, so that the rest still proves that
 * nothing else is missing.
 */
export async function applyRetention(): Promise<number> {
  const days = await retentionDays()
  if (days === null) return 0
  const before = new Date(Date.now() - days * 24 * 3_600_000).toISOString()
  const kept = await readFirst<End>(chain, { time: { $gte: before } }, { sort: { seq: 1 }, fields: ['seq'] })
  const old = kept ? { seq: { $lt: kept.seq } } : {}
  const last = await readFirst<End>(chain, old, { sort: { seq: -1 }, fields: ['seq', 'hash'] })
  if (!last) return 0
  await makeCheckpoint(last, { cut: true })
  const records = await removeAll(chain, { seq: { $lte: last.seq } })
  await removeAll(checkpoints, { seq: { $lt: last.seq } })
  await removeAll(checkpoints, { seq: last.seq, cut: false })
  log('audit').info({ records, up_to: last.seq }, 'records older than the retention were removed')
  return records
}

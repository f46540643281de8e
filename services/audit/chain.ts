import { auditInbox } from '#shared/audit.ts'
import type { AuditEntry, AuditRecord } from '#shared/contracts/audit.ts'
import { inStore } from '#shared/db/connect.ts'
import { chain, checkpoints } from './models.ts'
import { chained, noHash } from './record.ts'

type StoredEntry = Omit<AuditEntry, 'id'> & { _id: string }
export type StoredRecord = Omit<AuditRecord, 'id'> & { _id: string }

export const fromStore = ({ _id, ...record }: StoredRecord): AuditRecord => ({ id: _id, ...record })

export type End = { seq: number; hash: string }

/** The last record; where all were cut away by retention, the signed cut stands for it. */
export async function endOfChain(): Promise<End> {
  const [last] = (await inStore(() =>
    chain.find({}, { seq: 1, hash: 1 }).sort({ seq: -1 }).limit(1).lean(),
  )) as unknown as End[]
  if (last) return { seq: last.seq, hash: last.hash }
  const [cut] = (await inStore(() =>
    checkpoints
      .find({ cut: true } as never)
      .sort({ seq: -1 })
      .limit(1)
      .lean(),
  )) as unknown as End[]
  return cut ? { seq: cut.seq, hash: cut.hash } : { seq: 0, hash: noHash }
}

const batchSize = 1000
const maxBatches = 50

let draining: Promise<number> | undefined
let again: Promise<number> | undefined

/**
 * Moves what services have left into the chain. What was on record before this was called is in the chain when it
 * returns, whoever else drains at the same time.
 * @returns how many entries this call has moved
 */
export function drain(): Promise<number> {
  // A run that is under way may have read the inbox before the newest entry came; the one after it will not have.
  if (!draining) return (draining = drainNow().finally(() => (draining = undefined)))
  again ??= draining
    .catch(() => 0)
    .then(() => {
      again = undefined
      return drain()
    })
  return again
}

async function drainNow(): Promise<number> {
  let moved = 0
  for (let batch = 0; batch < maxBatches; batch++) {
    const entries = (await inStore(() =>
      auditInbox.collection.find({}, { sort: { time: 1, _id: 1 }, limit: batchSize }).toArray(),
    )) as unknown as StoredEntry[]
    if (entries.length === 0) break
    moved += await moveBatch(entries)
    if (entries.length < batchSize) break
  }
  return moved
}

async function moveBatch(entries: StoredEntry[]): Promise<number> {
  const there = await idsInChain(entries.map(({ _id }) => _id))
  const fresh = entries.filter(({ _id }) => !there.has(_id))
  if (fresh.length > 0) await append(fresh)
  const done = await idsInChain(entries.map(({ _id }) => _id))
  await inStore(() => auditInbox.collection.deleteMany({ _id: { $in: [...done] } } as never))
  return [...done].filter((id) => !there.has(id)).length
}

async function idsInChain(ids: string[]): Promise<Set<string>> {
  const found = await inStore(() =>
    chain.collection.find({ _id: { $in: ids } } as never, { projection: { _id: 1 } }).toArray(),
  )
  return new Set(found.map(({ _id }) => String(_id)))
}

/** Adds records behind the last one. Where another replica was faster it stops: the next run goes on from there. */
async function append(entries: StoredEntry[]): Promise<void> {
  let { seq, hash } = await endOfChain()
  const records = entries.map(({ _id, ...entry }) => {
    const { id, ...record } = chained({ id: _id, ...entry }, ++seq, hash)
    hash = record.hash
    return { _id: id, ...record }
  })
  try {
    await inStore(() => chain.collection.insertMany(records as never, { ordered: true }))
  } catch (error) {
    if ((error as { code?: number }).code !== 11_000) throw error
  }
}

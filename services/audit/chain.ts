import { auditInbox } from '#shared/audit.ts'
import type { AuditEntry, AuditRecord } from '#shared/contracts/audit.ts'
import { inStore } from '#shared/db/connect.ts'
import { readFirst, readMany } from '#shared/db/read.ts'
import { chain, checkpoints } from './models.ts'
import { chained, noHash } from './record.ts'

type StoredEntry = Omit<AuditEntry, 'id'> & { _id: string }
export type StoredRecord = Omit<AuditRecord, 'id'> & { _id: string }

export const fromStore = ({ _id, ...record }: StoredRecord): AuditRecord => ({ id: _id, ...record })

export type End = { seq: number; hash: string }

/** The last record; where all were cut away by retention, the signed cut stands for it. */
export async function endOfChain(): Promise<End> {
  const last = await readFirst<End>(chain, {}, { sort: { seq: -1 }, fields: ['seq', 'hash'] })
  if (last) return { seq: last.seq, hash: last.hash }
  const cut = await readFirst<End>(checkpoints, { cut: true }, { sort: { seq: -1 } })
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
    const entries = await oldest()
    if (entries.length === 0) break
    moved += await moveBatch(entries)
    if (entries.length < batchSize && (await isInboxEmpty())) break
  }
  return moved
}

/** Keys are in the order of time, but for those that were named by who left them: so each batch is sorted once more. */
async function oldest(): Promise<StoredEntry[]> {
  const found = await readMany<StoredEntry>(auditInbox, {}, { sort: { _id: 1 }, limit: batchSize })
  return found.toSorted((a, b) => (a.time < b.time ? -1 : a.time > b.time ? 1 : 0))
}

export const isInboxEmpty = async () => (await readFirst(auditInbox, {}, { fields: ['_id'] })) === undefined

async function moveBatch(entries: StoredEntry[]): Promise<number> {
  // Nearly always nothing of it is in the chain yet; only when that turns out wrong it is looked at one by one.
  if (await append(entries)) return forget(entries)
  const there = await idsInChain(entries.map(({ _id }) => _id))
  await forget(entries.filter(({ _id }) => there.has(_id)))
  const left = entries.filter(({ _id }) => !there.has(_id))
  return left.length > 0 && (await append(left)) ? forget(left) : 0
}

async function forget(entries: StoredEntry[]): Promise<number> {
  const ids = entries.map(({ _id }) => _id)
  await inStore(() => auditInbox.collection.deleteMany({ _id: { $in: ids } } as never))
  return entries.length
}

async function idsInChain(ids: string[]): Promise<Set<string>> {
  const found = await readMany(chain, { _id: { $in: ids } }, { fields: ['_id'] })
  return new Set(found.map(({ _id }) => _id))
}

/**
 * Adds records behind the last one, up to one whose place or entry is in the chain already.
 * @returns whether all were added; otherwise another replica was faster, or a run before this one did not get to its end
 */
async function append(entries: StoredEntry[]): Promise<boolean> {
  let { seq, hash } = await endOfChain()
  const records = entries.map(({ _id, ...entry }) => {
    const { id, ...record } = chained({ id: _id, ...entry }, ++seq, hash)
    hash = record.hash
    return { _id: id, ...record }
  })
  try {
    await inStore(() => chain.collection.insertMany(records as never, { ordered: true }))
    return true
  } catch (error) {
    if ((error as { code?: number }).code === 11_000) return false
    throw error
  }
}

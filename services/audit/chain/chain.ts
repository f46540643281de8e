import { auditInbox } from '#shared/audit/audit.ts'
import type { AuditEntry, AuditRecord } from '#shared/contracts/core/audit.ts'
import { isDuplicate } from '#shared/db/commands.ts'
import { inStore } from '#shared/db/connect.ts'
import { readFirst, readMany } from '#shared/db/read.ts'
import { chain, checkpoints } from '../models.ts'
import { chained, noHash } from './record.ts'

export type StoredRecord = Omit<AuditRecord, 'id'> & { _id: string }

export const fromStore = ({ _id, ...record }: StoredRecord): AuditRecord => ({ id: _id, ...record })

export type End = { seq: number; hash: string }

/** The last record of the chain; if retention removed all, the signed cut. */
export async function endOfChain(): Promise<End> {
  const last = await readFirst<End>(chain, {}, { sort: { seq: -1 }, fields: ['seq', 'hash'] })
  if (last) return { seq: last.seq, hash: last.hash }
  const cut = await readFirst<End>(checkpoints, { cut: true }, { sort: { seq: -1 } })
  return cut ? { seq: cut.seq, hash: cut.hash } : { seq: 0, hash: noHash }
}

/** Batch sizes: records added at once, and inbox documents (of up to 500 records each) read at once. */
const batchSize = 1000
const documentsAtOnce = 100
const maxReads = 50

let draining: Promise<number> | undefined
let again: Promise<number> | undefined

/**
 * Moves the inbox into the chain. Records that were in the inbox before the call are in the chain when it resolves,
 * also with concurrent drains.
 * @returns the number of entries moved by this call
 */
export function drain(): Promise<number> {
  // A running drain may have read the inbox before the newest entry was written, so wait for the run after it.
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
  for (let read = 0; read < maxReads; read++) {
    const found = await readMany<Left>(auditInbox, {}, { sort: { _id: 1 }, limit: documentsAtOnce })
    for (const batch of batchesOf(found)) moved += await moveBatch(batch)
    if (found.length < documentsAtOnce && (await isInboxEmpty())) break
  }
  return moved
}

/** A document of the inbox: records as JSON, or a single record written by an earlier version. */
type Left = { entries: string } | Omit<AuditEntry, 'id'>
type Found = Left & { _id: string }
type Batch = { documents: string[]; entries: AuditEntry[] }

function entriesIn(found: Found): AuditEntry[] {
  // Written only by shared/audit/audit.ts, so it needs no validation.
  if ('entries' in found) return JSON.parse(found.entries) as AuditEntry[]
  const { _id: id, ...entry } = found
  return [{ id, ...entry }]
}

function batchesOf(found: Found[]): Batch[] {
  const batches: Batch[] = []
  for (const one of found) {
    const last = batches.at(-1)
    const batch = last && last.entries.length < batchSize ? last : { documents: [], entries: [] }
    if (batch !== last) batches.push(batch)
    batch.documents.push(one._id)
    batch.entries.push(...entriesIn(one))
  }
  return batches
}

/** Removes duplicates (a record with a given id may be written twice) and keeps the order of time. */
function inOrder(entries: AuditEntry[]): AuditEntry[] {
  const seen = new Set<string>()
  const once = entries.filter(({ id }) => !seen.has(id) && seen.add(id))
  return once.toSorted((a, b) => (a.time < b.time ? -1 : a.time > b.time ? 1 : 0))
}

export const isInboxEmpty = async () => (await readFirst(auditInbox, {}, { fields: ['_id'] })) === undefined

/** @returns the number of records moved; records that another replica moved first are checked again */
async function moveBatch({ documents, entries }: Batch): Promise<number> {
  const wanted = inOrder(entries)
  // Optimistic: usually none of the records is in the chain yet. Only after a conflict are they checked one by one.
  if (!(await append(wanted))) {
    const there = await idsInChain(wanted.map(({ id }) => id))
    const left = wanted.filter(({ id }) => !there.has(id))
    if (left.length > 0 && !(await append(left))) return 0
  }
  await inStore(() => auditInbox.collection.deleteMany({ _id: { $in: documents } } as never))
  return wanted.length
}

async function idsInChain(ids: string[]): Promise<Set<string>> {
  const found = await readMany(chain, { _id: { $in: ids } }, { fields: ['_id'] })
  return new Set(found.map(({ _id }) => _id))
}

/**
 * Appends records, up to the first whose place or entry is in the chain already.
 * @returns false if another replica was faster or an earlier run stopped halfway
 */
async function append(entries: AuditEntry[]): Promise<boolean> {
  let { seq, hash } = await endOfChain()
  const records = entries.map((entry) => {
    const { id, ...record } = chained(entry, ++seq, hash)
    hash = record.hash
    return { _id: id, ...record }
  })
  try {
    await inStore(() => chain.collection.insertMany(records as never, { ordered: true }))
    return true
  } catch (error) {
    if (isDuplicate(error)) return false
    throw error
  }
}

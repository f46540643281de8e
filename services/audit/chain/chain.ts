import { auditInbox } from '#shared/audit/audit.ts'
import type { AuditEntry, AuditRecord } from '#shared/contracts/core/audit.ts'
import { inStore } from '#shared/db/connect.ts'
import { readFirst, readMany } from '#shared/db/read.ts'
import { chain, checkpoints } from '../models.ts'
import { chained, noHash } from './record.ts'

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

/** So many records, or a few more, are added at once; and so many documents, of up to 500 records each, are read at once. */
const batchSize = 1000
const documentsAtOnce = 100
const maxReads = 50

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
  for (let read = 0; read < maxReads; read++) {
    const found = await readMany<Left>(auditInbox, {}, { sort: { _id: 1 }, limit: documentsAtOnce })
    for (const batch of batchesOf(found)) moved += await moveBatch(batch)
    if (found.length < documentsAtOnce && (await isInboxEmpty())) break
  }
  return moved
}

/** What lies in the inbox: records as JSON, or a single one as an earlier version has left it. */
type Left = { entries: string } | Omit<AuditEntry, 'id'>
type Found = Left & { _id: string }
type Batch = { documents: string[]; entries: AuditEntry[] }

function entriesIn(found: Found): AuditEntry[] {
  // Only shared/audit/audit.ts writes here.
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

/** Each once, as whoever names a record may have left it twice; documents are in the order of time, records nearly so. */
function inOrder(entries: AuditEntry[]): AuditEntry[] {
  const seen = new Set<string>()
  const once = entries.filter(({ id }) => !seen.has(id) && seen.add(id))
  return once.toSorted((a, b) => (a.time < b.time ? -1 : a.time > b.time ? 1 : 0))
}

export const isInboxEmpty = async () => (await readFirst(auditInbox, {}, { fields: ['_id'] })) === undefined

/** @returns how many records were moved; what another replica was faster with is looked at again */
async function moveBatch({ documents, entries }: Batch): Promise<number> {
  const wanted = inOrder(entries)
  // Nearly always nothing of it is in the chain yet; only when that turns out wrong it is looked at one by one.
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
 * Adds records behind the last one, up to one whose place or entry is in the chain already.
 * @returns whether all were added; otherwise another replica was faster, or a run before this one did not get to its end
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
    if ((error as { code?: number }).code === 11_000) return false
    throw error
  }
}

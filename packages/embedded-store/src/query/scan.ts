import { asBuffer, decode, type Doc } from '../values/bson.ts'
import type { Interval } from '../index/bounds.ts'
import { type Catalog, type Collection, documentTable, indexTable } from '../storage/catalog.ts'
import { checkedDocument, checkEntry } from '../storage/checksum.ts'
import type { CollectionPlan, Plan } from '../index/planner.ts'
import type { IndexPlan } from '../index/planner-index.ts'
import type { UnionPlan } from '../index/planner-union.ts'

/** A document that a plan found; null in a stream of them is a place where a reader may pause. */
type Row = { rid: number; bytes: Buffer }

export type ScanStats = { keys: number; docs: number }

const FIRST_ROWS = 100
const MAX_ROWS = 1000
const MAX_BYTES = 2 * 1024 * 1024

/** A row as it was read; its checksums are verified when it is used. */
type Found = { rid: number; doc: Uint8Array | null; crc: unknown; key: Uint8Array; keyCrc: unknown }

/**
 * Reads statements in portions of rows and bytes and starts behind the last row each time, so that no statement is open
 * while the reader of the stream pauses.
 */
const portion = (rows: Iterable<Record<string, unknown>>, maxRows: number): Found[] => {
  const found: Found[] = []
  let bytes = 0
  for (const row of rows) {
    const { rid, doc, crc, key, keyCrc } = row as Found
    found.push({ rid, doc, crc, key, keyCrc })
    bytes += doc?.length ?? 0
    if (found.length >= maxRows || bytes >= MAX_BYTES) break
  }
  return found
}

function* scanCollection(
  catalog: Catalog,
  collection: Collection,
  { reverse }: CollectionPlan,
  stats: ScanStats,
): Generator<Row | null> {
  const [compare, order] = reverse ? ['<', 'DESC'] : ['>', 'ASC']
  const sql = `SELECT rid, doc, crc FROM ${documentTable(collection)} WHERE rid ${compare} ? ORDER BY rid ${order} LIMIT ?`
  let last = reverse ? Number.MAX_SAFE_INTEGER : -1
  for (let size = FIRST_ROWS; ; size = Math.min(size * 4, MAX_ROWS)) {
    const found = portion(catalog.storage.statement(sql).iterate(last, size), size)
    for (const { rid, doc, crc } of found) {
      stats.docs++
      last = rid
      yield { rid, bytes: asBuffer(checkedDocument(collection.namespace, rid, doc, crc)) }
    }
    if (found.length === 0) return
    yield null
  }
}

const rangeSql = (collection: Collection, { index, reverse }: IndexPlan): { first: string; next: string } => {
  const order = reverse ? 'DESC' : 'ASC'
  // LEFT JOIN keeps the order of the loops, and shows an entry whose document is missing
  const from = `SELECT i.key AS key, i.rid AS rid, i.crc AS keyCrc, c.doc AS doc, c.crc AS crc
    FROM ${indexTable(index)} AS i LEFT JOIN ${documentTable(collection)} AS c ON c.rid = i.rid`
  const end = `ORDER BY i.key ${order}, i.rid ${order} LIMIT ?`
  // the last row stands for the bound that it has passed: with both SQLite might search from the wrong one
  const next = reverse ? 'i.key >= ? AND (i.key, i.rid) < (?, ?)' : 'i.key < ? AND (i.key, i.rid) > (?, ?)'
  return { first: `${from} WHERE i.key >= ? AND i.key < ? ${end}`, next: `${from} WHERE ${next} ${end}` }
}

const isCut = (found: Found[]): boolean => found.reduce((sum, { doc }) => sum + (doc?.length ?? 0), 0) >= MAX_BYTES

function* scanRange(
  catalog: Catalog,
  { namespace }: Collection,
  sql: { first: string; next: string },
  { lo, hi }: Interval,
  reverse: boolean,
  stats: ScanStats,
): Generator<Row | null> {
  let last: Found | undefined
  for (let size = FIRST_ROWS; ; size = Math.min(size * 4, MAX_ROWS)) {
    const rows = last
      ? catalog.storage.statement(sql.next).iterate(reverse ? lo : hi, last.key, last.rid, size)
      : catalog.storage.statement(sql.first).iterate(lo, hi, size)
    const found = portion(rows, size)
    for (const row of found) {
      stats.keys++
      stats.docs++
      last = row
      checkEntry(namespace, row.rid, row.key, row.keyCrc)
      yield { rid: row.rid, bytes: asBuffer(checkedDocument(namespace, row.rid, row.doc, row.crc)) }
    }
    if (found.length < size && !isCut(found)) return
    yield null
  }
}

function* scanIndex(
  catalog: Catalog,
  collection: Collection,
  plan: IndexPlan,
  stats: ScanStats,
): Generator<Row | null> {
  const sql = rangeSql(collection, plan)
  const ranges = plan.reverse ? plan.ranges.toReversed() : plan.ranges
  const seen = plan.index.multikey ? new Set<number>() : undefined
  for (const range of ranges) {
    for (const row of scanRange(catalog, collection, sql, range, plan.reverse, stats)) {
      if (row && seen) {
        if (seen.has(row.rid)) continue
        seen.add(row.rid)
      }
      yield row
    }
  }
}

function* scanUnion(
  catalog: Catalog,
  collection: Collection,
  { branches }: UnionPlan,
  stats: ScanStats,
): Generator<Row | null> {
  const seen = new Set<number>()
  for (const branch of branches)
    for (const row of scanIndex(catalog, collection, branch, stats)) {
      if (row && seen.has(row.rid)) continue
      if (row) seen.add(row.rid)
      yield row
    }
}

/** The documents that a plan reaches, before its residual filter. */
const scan = (catalog: Catalog, collection: Collection, plan: Plan, stats: ScanStats): Generator<Row | null> => {
  if (plan.kind === 'index') return scanIndex(catalog, collection, plan, stats)
  if (plan.kind === 'union') return scanUnion(catalog, collection, plan, stats)
  return scanCollection(catalog, collection, plan, stats)
}

export type Match = Row & { doc: Doc | undefined }

/** The documents that match; `doc` is there when the filter had to look into it. */
export function* matches(
  catalog: Catalog,
  collection: Collection,
  plan: Plan,
  stats: ScanStats,
): Generator<Match | null> {
  let passed = 0
  for (const row of scan(catalog, collection, plan, stats)) {
    if (row === null) yield null
    else if (plan.residual.always) yield { ...row, doc: undefined }
    else {
      const doc = decode(row.bytes)
      if (plan.residual.test(doc)) yield { ...row, doc }
      else if (++passed % 32 === 0) yield null
    }
  }
}

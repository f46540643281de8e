import { decode, type Doc, encode } from '../values/bson.ts'
import type { Catalog, Collection } from '../storage/catalog.ts'
import { readDocument } from '../storage/collection.ts'
import { CommandError } from '../errors.ts'
import type { Filter } from './matcher.ts'
import type { Plan } from '../index/planner.ts'
import { type Match, matches, type ScanStats } from './scan.ts'
import { type Sort, sortKeyOf } from './sort.ts'

export type Query = {
  filter: Filter
  sort: Sort | undefined
  skip: number
  limit: number
  project: ((doc: Doc) => Doc) | undefined
}

/** Memory limit of a sort, which holds keys, not documents. MongoDB's limit is 100 MB too. */
const MAX_SORT_BYTES = 100 * 1024 * 1024

type SortEntry = { key: Buffer; rid: number }

const byKey = (a: SortEntry, b: SortEntry): number => Buffer.compare(a.key, b.key) || a.rid - b.rid

/** Collects the keys of a sort; with `keep`, only so many first ones, so that a page of many needs little memory. */
const sortEntries = (keep: number) => {
  const entries: SortEntry[] = []
  let bytes = 0
  return {
    add: (entry: SortEntry): void => {
      entries.push(entry)
      bytes += entry.key.length + 100
      if (keep > 0 && entries.length >= keep * 2 + 1000) {
        entries.sort(byKey)
        entries.length = keep
        bytes = entries.reduce((sum, { key }) => sum + key.length + 100, 0)
      }
      if (bytes > MAX_SORT_BYTES)
        throw new CommandError(
          292,
          'Sort exceeded memory limit of 104857600 bytes; an index on the sorted fields avoids the sort',
        )
    },
    sorted: (): SortEntry[] => entries.sort(byKey),
  }
}

function* sortedMatches(
  catalog: Catalog,
  collection: Collection,
  plan: Plan,
  query: Query & { sort: Sort },
  stats: ScanStats,
): Generator<Match | null> {
  const keyOf = sortKeyOf(query.sort)
  const entries = sortEntries(query.limit > 0 ? query.limit + query.skip : 0)
  for (const match of matches(catalog, collection, plan, stats)) {
    if (match === null) yield null
    else entries.add({ key: keyOf(match.doc ?? decode(match.bytes)), rid: match.rid })
  }
  for (const [i, { rid }] of entries.sorted().entries()) {
    const document = readDocument(catalog, collection, rid)
    // between the sort and this batch the document may have changed or gone
    const doc = document && !query.filter.always ? decode(document) : undefined
    if (document && (doc === undefined || query.filter.test(doc))) yield { rid, bytes: document, doc }
    if (i % 100 === 99) yield null
  }
}

/** The matching documents in the wanted order, skipped and limited. */
export function* orderedMatches(
  catalog: Catalog,
  collection: Collection,
  plan: Plan,
  query: Query,
  stats: ScanStats,
): Generator<Match | null> {
  const { sort, skip, limit } = query
  const source =
    sort && !plan.sorted
      ? sortedMatches(catalog, collection, plan, { ...query, sort }, stats)
      : matches(catalog, collection, plan, stats)
  let seen = 0
  for (const match of source) {
    if (match === null) yield null
    else {
      seen++
      if (seen > skip) yield match
      if (limit > 0 && seen >= skip + limit) return
    }
  }
}

/** The documents of a find as bytes, projected. */
export function* findDocuments(
  catalog: Catalog,
  collection: Collection,
  plan: Plan,
  query: Query,
  stats: ScanStats,
): Generator<Buffer | null> {
  for (const match of orderedMatches(catalog, collection, plan, query, stats)) {
    if (match === null) yield null
    else if (!query.project) yield match.bytes
    else yield encode(query.project(match.doc ?? decode(match.bytes)), 10334)
  }
}

import { type Collection, findCollection, idIndex, indexTable } from '../storage/catalog.ts'
import type { Plan } from '../index/planner.ts'
import { planSelection, type Selection } from './selection.ts'
import { deadlineOf, drain, type Reader } from './reader.ts'
import { matches } from './scan.ts'

export type Planned = { collection: Collection; plan: Plan }

/** Plans a selection; undefined when there is no such collection. */
export const planned = ({ catalog }: Reader, db: string, name: string, selection: Selection): Planned | undefined => {
  const collection = findCollection(catalog, db, name)
  return collection && { collection, plan: planSelection(catalog, collection, selection) }
}

/** Counts in SQLite where the keys alone are the answer; undefined where documents have to be looked at. */
const countKeys = (reader: Reader, { collection, plan }: Planned): number | undefined => {
  const { storage } = reader.catalog
  if (!plan.residual.always) return undefined
  if (plan.kind === 'collection')
    return Number(storage.statement(`SELECT count(*) AS n FROM ${indexTable(idIndex(collection))}`).get()?.['n'])
  if (plan.kind === 'union' || plan.index.multikey) return undefined
  const count = storage.statement(`SELECT count(*) AS n FROM ${indexTable(plan.index)} WHERE key >= ? AND key < ?`)
  return plan.ranges.reduce((sum, { lo, hi }) => sum + Number(count.get(lo, hi)?.['n']), 0)
}

const countMatches = async (
  reader: Reader,
  { collection, plan }: Planned,
  stopAt: number,
  maxTimeMs: number | undefined,
): Promise<number> => {
  let n = 0
  const found = matches(reader.catalog, collection, plan, { keys: 0, docs: 0 })
  await drain(found, () => ++n >= stopAt, deadlineOf(maxTimeMs))
  return n
}

/** Counts matching documents, up to `stopAt`. */
export const countSelected = async (
  reader: Reader,
  target: Planned,
  stopAt: number,
  maxTimeMs: number | undefined,
): Promise<number> => {
  const known = countKeys(reader, target)
  return known === undefined ? countMatches(reader, target, stopAt, maxTimeMs) : Math.min(known, stopAt)
}

import { isPlainObject } from '../values/bson.ts'
import { type Catalog, type Collection, type Index, keyPattern } from '../storage/catalog.ts'
import { checkCollation } from '../wire/command.ts'
import { equalValues } from '../values/compare.ts'
import { badValue, failedToParse } from '../errors.ts'
import { type Filter, parseFilter } from './matcher.ts'
import { plan, type Plan } from '../index/planner.ts'
import { parseSort, type Sort } from './sort.ts'

/** Which documents a command is about: parsed once, planned against a collection. */
export type Selection = {
  filter: Filter
  sort: Sort | undefined
  natural: 1 | -1 | undefined
  hint: unknown
  limited: boolean
}

const naturalOrder = (sort: unknown): 1 | -1 | undefined => {
  if (!isPlainObject(sort) || !Object.hasOwn(sort, '$natural')) return undefined
  const direction = Number(sort['$natural'])
  if (Object.keys(sort).length !== 1 || Math.abs(direction) !== 1)
    throw badValue('$natural sort cannot be set to a value other than -1 or 1.')
  return direction as 1 | -1
}

/** Parses filter, sort and hint. */
export const parseSelection = (part: {
  filter: unknown
  sort?: unknown
  hint?: unknown
  collation?: unknown
  limited: boolean
}): Selection => {
  checkCollation(part.collation)
  const natural = naturalOrder(part.sort) ?? naturalOrder(part.hint)
  return {
    filter: parseFilter(part.filter ?? {}),
    sort: naturalOrder(part.sort) === undefined ? parseSort(part.sort) : undefined,
    natural,
    hint: naturalOrder(part.hint) === undefined ? part.hint : undefined,
    limited: part.limited,
  }
}

const hinted = (collection: Collection, hint: unknown): Index | undefined => {
  if (hint === undefined || hint === null || (isPlainObject(hint) && Object.keys(hint).length === 0)) return undefined
  const found = collection.indexes.find((index) =>
    isPlainObject(hint) ? equalValues(keyPattern(index), hint) : index.name === hint,
  )
  if (typeof hint !== 'string' && !isPlainObject(hint)) throw failedToParse('Hint must be a string or an object')
  if (!found) throw badValue('error processing query: hint provided does not correspond to an existing index')
  return found
}

/** Plans a selection on a collection as it is now. */
export const planSelection = (catalog: Catalog, collection: Collection, selection: Selection): Plan => {
  const { filter, sort, natural, limited } = selection
  const hint = natural === undefined ? hinted(collection, selection.hint) : 'natural'
  const chosen = plan(catalog, collection, { filter, sort, limited, hint })
  return natural === -1 && chosen.kind === 'collection' ? { ...chosen, reverse: true } : chosen
}

import { bsonType, type Doc, isPlainObject, setField } from '../values/bson.ts'
import { CommandError } from '../errors.ts'
import type { Filter, Predicate } from '../query/matcher.ts'
import { visitPath } from './update-paths.ts'

type Equality = { path: string; value: unknown }

/** The values that a condition fixes a field to; of an `$in` only one that has no choice. */
const fixedBy = ({ path, operator, value }: Predicate): Equality[] => {
  if (operator === '$eq') return [{ path, value }]
  const list = Array.isArray(value) ? (value as unknown[]) : []
  if (operator !== '$all' && (operator !== '$in' || list.length !== 1)) return []
  return list
    .filter((one) => bsonType(one) !== 'BSONRegExp' && (!isPlainObject(one) || !Object.hasOwn(one, '$elemMatch')))
    .map((one) => ({ path, value: one }))
}

const equalities = (filter: Filter): Equality[] => [
  ...filter.predicates.flatMap(fixedBy),
  ...filter.unions.filter((branches) => branches.length === 1).flatMap(([only]) => (only ? equalities(only) : [])),
]

const isWithin = (path: string, above: string): boolean => path === above || path.startsWith(`${above}.`)

const checkOnce = (path: string, others: readonly string[]): void => {
  const other = others.find((known) => isWithin(path, known) || isWithin(known, path))
  if (other === undefined) return
  const problem = other === path ? `path '${path}' is matched twice` : `both paths '${other}' and '${path}' are matched`
  throw new CommandError(54, `cannot infer query fields to set, ${problem}`)
}

/**
 * The fields that a filter fixes to one value: the start of an upsert. A replacement document takes only the `_id`.
 * @throws CommandError 54 if a field is fixed twice, 111 if only a part of the `_id` is
 */
export const seed = (filter: Filter, onlyId: boolean): Doc => {
  const doc: Doc = {}
  const context = { arrayIndex: undefined, filters: new Map(), inserting: true, now: new Date(0) }
  const paths: string[] = []
  for (const { path, value } of equalities(filter)) {
    if (onlyId && path.startsWith('_id.'))
      throw new CommandError(111, `field at '_id' must be exactly specified, field at sub-path '${path}' found`)
    if (onlyId && path !== '_id') continue
    checkOnce(path, paths)
    paths.push(path)
    visitPath(doc, path.split('.'), { create: true }, context, ({ container, key }) => {
      setField(container as Doc, key, value)
    })
  }
  return doc
}

/** Refuses the filter of an upsert that computes. @throws CommandError 224 */
export const checkUpsertFilter = (filter: unknown): void => {
  if (!isPlainObject(filter)) return
  for (const [key, value] of Object.entries(filter)) {
    if (key === '$expr') throw new CommandError(224, '$expr is not allowed in the query predicate for an upsert')
    if (['$and', '$or', '$nor'].includes(key) && Array.isArray(value)) value.forEach(checkUpsertFilter)
  }
}

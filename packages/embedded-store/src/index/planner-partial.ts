import { bsonType } from '../values/bson.ts'
import type { Index } from '../storage/catalog.ts'
import { equalValues } from '../values/compare.ts'
import type { Filter, Predicate } from '../query/matcher.ts'

const isNull = (value: unknown): boolean => value === null || value === undefined

/** Everything is above MinKey and below MaxKey, also what is missing. */
const isExtreme = (value: unknown): boolean => ['MinKey', 'MaxKey'].includes(bsonType(value) ?? '')

const COMPARISONS = new Set(['$eq', '$gt', '$gte', '$lt', '$lte'])
const NEEDING = new Set(['$regex', '$type', '$size', '$mod'])

/** Checks that only documents with the field can meet a predicate. */
const needsField = ({ operator, value }: Predicate): boolean => {
  if (operator === '$exists') return value === true || value === 1
  if (operator === '$in') return Array.isArray(value) && value.length > 0 && !value.some(isNull)
  return NEEDING.has(operator) || (COMPARISONS.has(operator) && !isNull(value) && !isExtreme(value))
}

/** A sparse index has every document that can match when the filter needs one of its fields. */
export const coversSparse = (filter: Filter, index: Index): boolean =>
  filter.predicates.some((predicate) => index.paths.includes(predicate.path) && needsField(predicate))

const implies = (given: Predicate, wanted: Predicate): boolean => {
  if (given.path !== wanted.path) return false
  if (wanted.operator === '$exists' && wanted.value === true) return needsField(given)
  if (given.operator === wanted.operator && equalValues(given.value, wanted.value)) return true
  // a value that equals the given one has the condition's property, when it is not an array with other elements
  return (
    given.operator === '$eq' &&
    !Array.isArray(given.value) &&
    !isNull(given.value) &&
    wanted.test({ [wanted.path]: given.value })
  )
}

/** Checks that every document accepted by the filter is in a partial index. */
export const impliesPartial = (filter: Filter, { partial }: Index): boolean =>
  partial !== undefined &&
  partial.unions.length === 0 &&
  partial.rest.length === 0 &&
  partial.predicates.every((wanted) => filter.predicates.some((given) => implies(given, wanted)))

import { type Doc, isPlainObject, toNumber, typeName } from '../values/bson.ts'
import { checkCollation } from '../wire/command.ts'
import { equalValues } from '../values/compare.ts'
import { badValue, CommandError, notImplemented, typeMismatch, wrongType } from '../errors.ts'
import { parseFilter, type Predicate } from '../query/matcher.ts'
import { shellText } from '../values/shell-text.ts'

type Check = (value: unknown, field: string) => void

const cannotCreate = (message: string) => new CommandError(67, message)

const truth: Check = (value, field) => {
  if (typeof value !== 'boolean' && toNumber(value) === undefined)
    throw typeMismatch(`The field '${field} has value ${field}: ${shellText(value)}, which is not convertible to bool`)
}

const ofType =
  (type: string, isType: (value: unknown) => boolean): Check =>
  (value, field) => {
    if (!isType(value)) throw typeMismatch(`The field '${field}' must be ${type}, but got ${typeName(value)}`)
  }

const object = ofType('an object', isPlainObject)

const version: Check = (value, field) => {
  ofType('a number', (given) => toNumber(given) !== undefined)(value, field)
  const number = toNumber(value)
  if (number !== 1 && number !== 2) throw cannotCreate(`cannot create an index with v=${number}`)
}

const name: Check = (value, field) => {
  ofType('a string', (given) => typeof given === 'string')(value, field)
  if (value === '') throw cannotCreate('index name cannot be empty')
}

const collation: Check = (value, field) => {
  object(value, field)
  if (Object.keys(value as Doc).length === 0) throw badValue("The field 'collation' cannot be an empty object.")
  checkCollation(value)
}

const unsupported: Check = (_value, field) => {
  throw notImplemented(`The index option '${field}'`)
}

const timeToLive: Check = (value, field) => {
  if (toNumber(value) === undefined)
    throw cannotCreate(
      `TTL index 'expireAfterSeconds' option must be numeric, but received a type of '${typeName(value)}'`,
    )
  unsupported(value, field)
}

const direction: Check = (value, path) => {
  if (typeof value === 'string' && KINDS.has(value)) throw notImplemented(`An index of the kind '${value}'`)
  if (typeof value === 'string') throw cannotCreate(`Unknown index plugin '${value}'`)
  const number = toNumber(value)
  if (number === undefined)
    throw cannotCreate(
      `Values in v:2 index key pattern cannot be of type ${typeName(value)}. Only numbers > 0, numbers < 0, and strings are allowed.`,
    )
  if (Number.isNaN(number)) throw cannotCreate('Values in the index key pattern cannot be NaN.')
  if (number === 0) throw cannotCreate(`Values in the index key pattern cannot be 0: ${path}`)
}

const keyPath = (path: string): void => {
  const parts = path.split('.')
  if (parts.at(-1) === '$**') throw notImplemented('A wildcard index')
  if (path === '') throw cannotCreate('Index keys cannot be an empty field.')
  if (parts.includes('')) throw cannotCreate('Index keys cannot contain an empty field.')
  if (parts.some((part) => part.startsWith('$')))
    throw cannotCreate("Index key contains an illegal field name: field name starts with '$'.")
}

const key: Check = (value, field) => {
  object(value, field)
  const entries = Object.entries(value as Doc)
  if (entries.length === 0) throw cannotCreate('Index keys cannot be empty.')
  if (entries.length > 32) throw cannotCreate('Index key pattern too large')
  for (const [path, wanted] of entries) {
    keyPath(path)
    direction(wanted, path)
  }
}

const PARTIAL_OPERATORS = new Set(['$eq', '$exists', '$gt', '$gte', '$lt', '$lte', '$type', '$in'])

const partialFilterExpression: Check = (value, field) => {
  object(value, field)
  const { predicates, unions, rest } = parseFilter(value)
  const isUnfit = ({ operator, value: wanted }: Predicate) =>
    !PARTIAL_OPERATORS.has(operator) || (operator === '$exists' && !wanted)
  const unfit = predicates.find(isUnfit)
  if (unfit) throw cannotCreate(`Expression not supported in partial index: ${unfit.operator} on ${unfit.path}`)
  if (rest.length > 0) throw cannotCreate('Expression not supported in partial index')
  if (unions.length > 0) throw notImplemented('$or in a partial index')
}

/** The other kinds of index that MongoDB has. */
const KINDS = new Set(['text', '2d', '2dsphere', 'hashed'])

const CHECKS: Record<string, Check> = {
  key,
  name,
  unique: truth,
  sparse: truth,
  background: truth,
  partialFilterExpression,
  v: version,
  collation,
  ns: ofType('a string', (given) => typeof given === 'string'),
  expireAfterSeconds: timeToLive,
  hidden: unsupported,
  storageEngine: unsupported,
  weights: unsupported,
  default_language: unsupported,
  language_override: unsupported,
  wildcardProjection: unsupported,
  bits: unsupported,
  min: unsupported,
  max: unsupported,
  clustered: unsupported,
  prepareUnique: unsupported,
  '2dsphereIndexVersion': unsupported,
  textIndexVersion: unsupported,
}

/** Permitted options of the index on `_id`, which always exists and is always unique. */
const ID_FIELDS = ['key', 'name', 'v', 'ns', 'collation', 'background']

const checkId = (spec: Doc): void => {
  const fields = Object.keys(spec['key'] as Doc)
  if (spec['name'] === '_id_' && !equalValues(spec['key'], { _id: 1 }))
    throw badValue(`The index name '_id_' is reserved for the _id index, found key: ${shellText(spec['key'])}`)
  if (fields.length > 1 || fields[0] !== '_id') return
  if (!equalValues(spec['key'], { _id: 1 }))
    throw badValue(`The field 'key' for an _id index must be {_id: 1}, but got ${shellText(spec['key'])}`)
  const other = Object.keys(spec).find((field) => !ID_FIELDS.includes(field))
  if (other) throw new CommandError(197, `The field '${other}' is not valid for an _id index specification.`)
}

const checkSpec = (wanted: unknown, place: number): Doc => {
  if (!isPlainObject(wanted)) throw wrongType(`createIndexes.indexes.${place}`, typeName(wanted), "type 'object'")
  for (const [field, value] of Object.entries(wanted)) {
    const check = Object.hasOwn(CHECKS, field) ? CHECKS[field] : undefined
    if (!check) throw new CommandError(197, `The field '${field}' is not valid for an index specification.`)
    check(value, field)
  }
  for (const field of ['key', 'name'])
    if (wanted[field] === undefined)
      throw new CommandError(9, `The '${field}' field is a required property of an index specification`)
  checkId(wanted)
  if (wanted['sparse'] && wanted['partialFilterExpression'] !== undefined)
    throw cannotCreate('cannot mix "partialFilterExpression" and "sparse" options')
  return wanted
}

/**
 * The specification of an index as it is kept and listed.
 * @throws CommandError as MongoDB's, for what is wrong with it
 */
export const indexSpec = (wanted: unknown, place: number): Doc => {
  const { key: pattern, name: given, unique, sparse, partialFilterExpression: partial } = checkSpec(wanted, place)
  return {
    v: 2,
    key: pattern,
    name: given,
    ...(unique ? { unique: true } : {}),
    ...(sparse ? { sparse: true } : {}),
    ...(partial === undefined ? {} : { partialFilterExpression: partial }),
  }
}

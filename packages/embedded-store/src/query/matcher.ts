import { BSONRegExp } from 'bson'
import { type Doc, isPlainObject } from '../values/bson.ts'
import { badValue, CommandError, notImplemented } from '../errors.ts'
import { FIELD_OPERATORS, type FieldTest, isRegex, regexTest } from './matcher-operators.ts'
import { anyAtPath, type MatchContext, type ValueTest } from '../values/paths.ts'
import { checkFlags } from './regex.ts'

export type Test = (doc: Doc, context?: MatchContext) => boolean

/** A condition on a field of a document; `single` is the same on one value, whose elements it does not look at. */
type Condition = { test: Test; single: ValueTest }

/** One condition on one field, as the planner wants it; all predicates of a filter must hold. */
export type Predicate = { path: string; operator: string; value: unknown } & Condition

/**
 * A parsed filter: predicates, each `$or` as its branches, and the conditions that no index can help with (`$nor`). All must hold; `always` says that there are none.
 */
export type Filter = { test: Test; predicates: Predicate[]; unions: Filter[][]; rest: Test[]; always: boolean }

/** Operators at the top of a filter, also of a filter for elements that are objects. */
const LOGICAL = new Set(['$and', '$or', '$nor', '$comment'])

const UNSUPPORTED = new Set(['$expr', '$where', '$text', '$jsonSchema', '$sampleRate', '$alwaysTrue', '$alwaysFalse'])
const UNSUPPORTED_OF_FIELDS = new Set([
  '$near',
  '$nearSphere',
  '$geoWithin',
  '$geoIntersects',
  '$bitsAllSet',
  '$bitsAllClear',
  '$bitsAnySet',
  '$bitsAnyClear',
])

const allOf =
  (tests: readonly Test[]): Test =>
  (doc, context) =>
    tests.every((test) => test(doc, context))

const fieldCondition = (path: string, { test, expandLeaf, negated }: FieldTest): Condition => {
  const parts = path.split('.')
  return negated
    ? { test: (doc) => !anyAtPath(doc, parts, expandLeaf, test), single: (value) => !test(value) }
    : { test: (doc, context) => anyAtPath(doc, parts, expandLeaf, test, context), single: test }
}

/** A DBRef is a value although its fields begin with a dollar. */
const isOperatorName = (name: string): boolean => name.startsWith('$') && !['$ref', '$id', '$db'].includes(name)

const isOperatorObject = (value: unknown): value is Doc => {
  if (!isPlainObject(value)) return false
  const first = Object.keys(value)[0]
  return first !== undefined && isOperatorName(first)
}

const not = ({ test, single }: Condition): Condition => ({
  test: (doc) => !test(doc),
  single: (value) => !single(value),
})

const both = (conditions: readonly Condition[]): Condition => ({
  test: allOf(conditions.map(({ test }) => test)),
  single: (value) => conditions.every(({ single }) => single(value)),
})

const notCondition = (path: string, value: unknown): Condition => {
  if (isRegex(value)) return not(fieldCondition(path, regexTest(value)))
  if (!isOperatorObject(value)) throw badValue('$not needs a regex or a document')
  return not(both(operatorPredicates(path, value)))
}

/** `$elemMatch` with operators looks at the elements themselves, otherwise at the fields of elements that are objects. */
const elementTest = (value: unknown): ValueTest => {
  if (!isPlainObject(value)) throw badValue('$elemMatch needs an Object')
  if (Object.hasOwn(value, '$expr')) throw badValue('$expr can only be applied to the top-level document')
  const first = Object.keys(value)[0]
  if (first?.startsWith('$') && !LOGICAL.has(first)) return both(operatorPredicates('element', value)).single
  const { test } = parseFilter(value)
  return (element) => (isPlainObject(element) ? test(element) : Array.isArray(element) && test({ ...element }))
}

const elemMatchCondition = (path: string, value: unknown): Condition => {
  const matches = elementTest(value)
  const parts = path.split('.')
  const find = (array: unknown): number => (Array.isArray(array) ? array.findIndex(matches) : -1)
  const test: Test = (doc, context) =>
    anyAtPath(
      doc,
      parts,
      false,
      (array) => {
        const found = find(array)
        if (found >= 0 && context) context.arrayIndex = found
        return found >= 0
      },
      context,
    )
  return { test, single: (array) => find(array) >= 0 }
}

const allCondition = (path: string, value: unknown): Condition => {
  if (!Array.isArray(value)) throw badValue('$all needs an array')
  const wanted = value as unknown[]
  if (wanted.length === 0) return { test: () => false, single: () => false }
  const areElements = isOperatorObject(wanted[0])
  return both(
    wanted.map((one) => {
      if (!areElements && !isOperatorObject(one)) return equality(path, one)
      if (!areElements || !isOperatorObject(one) || !Object.hasOwn(one, '$elemMatch'))
        throw badValue(areElements ? '$all/$elemMatch has to be consistent' : 'no $ expressions in $all')
      return elemMatchCondition(path, one['$elemMatch'])
    }),
  )
}

const equality = (path: string, value: unknown): Condition =>
  fieldCondition(
    path,
    isRegex(value) ? regexTest(value) : (FIELD_OPERATORS['$eq'] as (wanted: unknown) => FieldTest)(value),
  )

const regexOf = (operators: Doc): BSONRegExp => {
  const pattern = operators['$regex']
  const options = operators['$options']
  if (options !== undefined && typeof options !== 'string') throw badValue('$options has to be a string')
  checkFlags(options ?? '')
  if (isRegex(pattern) && pattern.options !== '' && options !== undefined)
    throw new CommandError(51075, 'options set in both $regex and $options')
  if (isRegex(pattern)) return new BSONRegExp(pattern.pattern, options ?? pattern.options)
  if (typeof pattern !== 'string') throw badValue('$regex has to be a string')
  return new BSONRegExp(pattern, [...(options ?? '')].sort().join(''))
}

const operatorCondition = (path: string, operator: string, value: unknown, operators: Doc): Condition => {
  const simple = Object.hasOwn(FIELD_OPERATORS, operator) ? FIELD_OPERATORS[operator] : undefined
  if (simple) return fieldCondition(path, simple(value))
  if (operator === '$not') return notCondition(path, value)
  if (operator === '$elemMatch') return elemMatchCondition(path, value)
  if (operator === '$all') return allCondition(path, value)
  if (operator === '$regex') return fieldCondition(path, regexTest(regexOf(operators)))
  throw UNSUPPORTED_OF_FIELDS.has(operator) ? notImplemented(operator) : badValue(`unknown operator: ${operator}`)
}

/** Checks that a name is a condition on one field. `$pull` uses this and treats `$not` as none. */
export const isFieldOperator = (name: string | undefined): boolean =>
  name !== undefined &&
  (Object.hasOwn(FIELD_OPERATORS, name) ||
    UNSUPPORTED_OF_FIELDS.has(name) ||
    ['$elemMatch', '$all', '$regex', '$options'].includes(name))

const operatorPredicates = (path: string, operators: Doc): Predicate[] => {
  const predicates: Predicate[] = []
  for (const operator of Object.keys(operators)) {
    if (operator === '$options') {
      if (!Object.hasOwn(operators, '$regex')) throw badValue('$options needs a $regex')
      continue
    }
    const value = operator === '$regex' ? regexOf(operators) : operators[operator]
    predicates.push({ path, operator, value, ...operatorCondition(path, operator, operators[operator], operators) })
  }
  return predicates
}

const fieldPredicates = (path: string, value: unknown): Predicate[] => {
  if (isOperatorObject(value)) return operatorPredicates(path, value)
  return [{ path, operator: isRegex(value) ? '$regex' : '$eq', value, ...equality(path, value) }]
}

const clauses = (operator: string, value: unknown): Filter[] => {
  if (!Array.isArray(value) || value.length === 0) throw badValue(`${operator} must be a nonempty array`)
  return (value as unknown[]).map((clause) => {
    if (!isPlainObject(clause)) throw badValue(`${operator} argument's entries must be objects`)
    return parseFilter(clause)
  })
}

const unionTest =
  (branches: readonly Filter[]): Test =>
  (doc, context) =>
    branches.some(({ test }) => test(doc, context))

const logicalTest = (operator: string, value: unknown): Test => {
  if (operator === '$nor') {
    const tests = clauses(operator, value).map(({ test }) => test)
    return (doc) => !tests.some((test) => test(doc))
  }
  if (UNSUPPORTED.has(operator)) throw notImplemented(operator)
  throw badValue(
    `unknown top level operator: ${operator}. If you have a field name that starts with a '$' symbol, consider using $getField or $setField.`,
  )
}

const parts = (filter: Doc): { predicates: Predicate[]; unions: Filter[][]; rest: Test[] } => {
  const found = { predicates: [] as Predicate[], unions: [] as Filter[][], rest: [] as Test[] }
  for (const key of Object.keys(filter)) {
    const value = filter[key]
    if (!isOperatorName(key)) found.predicates.push(...fieldPredicates(key, value))
    else if (key === '$or') found.unions.push(clauses(key, value))
    else if (key === '$and')
      for (const { predicates, unions, rest } of clauses(key, value)) {
        found.predicates.push(...predicates)
        found.unions.push(...unions)
        found.rest.push(...rest)
      }
    else if (key !== '$comment') found.rest.push(logicalTest(key, value))
  }
  return found
}

/** Parses a filter; an unknown operator is error 2, one that the store does not have 238. */
export const parseFilter = (filter: unknown): Filter => {
  if (!isPlainObject(filter)) throw new CommandError(14, 'the filter must be an object')
  const { predicates, unions, rest } = parts(filter)
  return filterOf(predicates, unions, rest)
}

/** Makes a filter from parts: the rest of one that an index answers partly. */
export const filterOf = (predicates: Predicate[], unions: Filter[][], rest: Test[]): Filter => {
  const tests = [...predicates.map(({ test }) => test), ...unions.map(unionTest), ...rest]
  return { test: allOf(tests), predicates, unions, rest, always: tests.length === 0 }
}

import { Aggregator } from 'mingo/aggregator'
import { Context, evalExpr } from 'mingo/core'
import * as accumulators from 'mingo/operators/accumulator'
import * as expressions from 'mingo/operators/expression'
import * as pipeline from 'mingo/operators/pipeline'
import * as projections from 'mingo/operators/projection'
import * as queries from 'mingo/operators/query'
import * as windows from 'mingo/operators/window'
import type { AnyObject, Options } from 'mingo/types'
import { bsonType, type Doc, isPlainObject, setField } from './bson.ts'
import { compareValues } from './compare.ts'
import { CommandError, notImplemented } from './errors.ts'

type Operator = (doc: unknown, args: unknown, options: Options) => unknown

/** Operators that run a client's JavaScript. */
const SCRIPTS = new Set(['$function', '$accumulator', '$where'])

const comparison =
  (accepts: (order: number) => unknown): Operator =>
  (doc, args, options) => {
    const [a, b] = evalExpr(doc, args, options) as [unknown, unknown]
    return accepts(compareValues(a, b))
  }

/** mingo compares arrays by their elements and BSON values by their text: the store's order is used in its place. */
const COMPARISONS = {
  $eq: comparison((order) => order === 0),
  $ne: comparison((order) => order !== 0),
  $gt: comparison((order) => order > 0),
  $gte: comparison((order) => order >= 0),
  $lt: comparison((order) => order < 0),
  $lte: comparison((order) => order <= 0),
  $cmp: comparison((order) => Math.sign(order)),
}

const without = <T extends object>(operators: T): T =>
  Object.fromEntries(Object.entries(operators).filter(([name]) => !SCRIPTS.has(name))) as T

type Operators = NonNullable<Parameters<typeof Context.init>[0]>

let captured: Options | undefined

const CONTEXT = Context.init({
  expression: { ...without(expressions), ...COMPARISONS },
  accumulator: without(accumulators),
  projection: projections,
  query: without(queries),
  window: windows,
  pipeline: {
    ...pipeline,
    $capture: (documents: unknown, _: unknown, options: Options) => {
      captured = options
      return documents
    },
  },
} as Operators)

/** The options of one command for mingo: own operators, no scripts, and one point in time as `$$NOW`. */
const commandOptions = (): Options => {
  // mingo copies its operators on each call unless it gets the object that it makes itself, which only operators see
  new Aggregator([{ $capture: {} }], { context: CONTEXT, scriptEnabled: false }).run([])
  const options = captured as Options & { now: Date }
  void options.now
  return options
}

const isKnown = (operator: string): boolean =>
  Object.hasOwn(expressions, operator) || Object.hasOwn(accumulators, operator)

/** Refuses an expression with an operator that mingo does not have, also where no document would reach it. */
export const checkExpression = (expression: unknown): void => {
  if (Array.isArray(expression)) return expression.forEach(checkExpression)
  if (!isPlainObject(expression)) return
  const keys = Object.keys(expression)
  for (const key of keys) {
    if (key.startsWith('$')) {
      if (SCRIPTS.has(key)) throw notImplemented(key)
      if (!isKnown(key)) throw new CommandError(168, `Unrecognized expression '${key}'`)
      if (keys.length > 1) throw new CommandError(2, 'an object representing an expression must have exactly one field')
      if (key === '$literal') return
    }
    checkExpression(expression[key])
  }
}

const promoteWrapped = (value: object, type: string): unknown => {
  if (type === 'Double' || type === 'Int32') return Number(value)
  if (type === 'Decimal128') throw notImplemented('Computing over documents with Decimal128')
  if (type !== 'Long') return value
  const number = Number(value)
  if (!Number.isSafeInteger(number)) throw notImplemented('Computing over documents with integers beyond 2^53')
  return number
}

/** A value as mingo understands it: numbers of all types as JavaScript's. Unchanged parts are shared, not copied. */
const promote = (value: unknown): unknown => {
  if (typeof value !== 'object' || value === null || value instanceof Date) return value
  if (Array.isArray(value)) {
    const copy = (value as unknown[]).map(promote)
    return copy.some((element, i) => element !== value[i]) ? copy : value
  }
  const type = bsonType(value)
  if (type !== undefined) return promoteWrapped(value, type)
  let copy: Doc | undefined
  const doc = value as Doc
  for (const key of Object.keys(doc)) {
    const promoted = promote(doc[key])
    if (promoted === doc[key]) continue
    copy ??= { ...doc }
    setField(copy, key, promoted)
  }
  return copy ?? doc
}

const guarded = <T>(work: () => T): T => {
  try {
    return work()
  } catch (error) {
    if (error instanceof CommandError || !(error instanceof Error)) throw error
    throw new CommandError(2, error.message, {})
  }
}

const THROUGH_ARRAY = Symbol('through an array')

const follow = (doc: Doc, parts: readonly string[]): unknown => {
  let value: unknown = doc
  for (const part of parts) {
    if (Array.isArray(value)) return THROUGH_ARRAY
    value = isPlainObject(value) && Object.hasOwn(value, part) ? value[part] : undefined
  }
  return value
}

/** Constants and plain fields need no mingo, which would look at the whole document; undefined for all others. */
const simple = (expression: unknown, general: (doc: Doc) => unknown): ((doc: Doc) => unknown) | undefined => {
  if (typeof expression === 'string' && /^\$[^$]/.test(expression)) {
    const parts = expression.slice(1).split('.')
    return (doc) => {
      const value = follow(doc, parts)
      return value === THROUGH_ARRAY ? general(doc) : promote(value)
    }
  }
  const isConstant = expression === null || typeof expression === 'number' || typeof expression === 'boolean'
  return isConstant ? () => expression : undefined
}

/** Compiles an aggregation expression; undefined is what it gives for a field that is missing. */
export const evaluate = (expression: unknown): ((doc: Doc) => unknown) => {
  const general = compile(expression)
  return simple(expression, general) ?? general
}

const compile = (expression: unknown): ((doc: Doc) => unknown) => {
  checkExpression(expression)
  const promoted = promote(expression)
  const options = commandOptions()
  return (doc) => guarded(() => evalExpr(promote(doc), promoted, options))
}

/** Runs documents through stages of mingo; for a stage that sees one document at a time call it with one. */
export const runStages = (stages: Doc[]): ((documents: Doc[]) => Doc[]) => {
  const promoted = promote(stages) as AnyObject[]
  const aggregator = new Aggregator(promoted, { context: CONTEXT, scriptEnabled: false })
  return (documents) => guarded(() => aggregator.run(documents.map(promote) as AnyObject[]))
}

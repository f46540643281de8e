import { Aggregator } from 'mingo/aggregator'
import { Context, evalExpr } from 'mingo/core'
import * as accumulators from 'mingo/operators/accumulator'
import * as expressions from 'mingo/operators/expression'
import * as pipeline from 'mingo/operators/pipeline'
import * as projections from 'mingo/operators/projection'
import * as queries from 'mingo/operators/query'
import * as windows from 'mingo/operators/window'
import type { AnyObject, Options } from 'mingo/types'
import { bsonType, type Doc, isPlainObject, setField } from '../values/bson.ts'
import { compareValues } from '../values/compare.ts'
import { CommandError, notImplemented } from '../errors.ts'
import { COMPARISONS } from './expression-parts.ts'

type Operator = (doc: unknown, args: unknown, options: Options) => unknown

/** Operators that run a client's JavaScript. */
export const SCRIPTS = new Set(['$function', '$accumulator', '$where'])

const comparison =
  (accepts: (order: number) => unknown): Operator =>
  (doc, args, options) => {
    const [a, b] = evalExpr(doc, args, options) as [unknown, unknown]
    return accepts(compareValues(a, b))
  }

/** mingo compares arrays by their elements and BSON values by their text: the store's order is used in its place. */
const OWN_COMPARISONS = Object.fromEntries(
  Object.entries(COMPARISONS).map(([name, accepts]) => [name, comparison(accepts)]),
)

/** Whether mingo has a stage of that name, which nearly are MongoDB's. */
export const isStageName = (name: string): boolean => Object.hasOwn(pipeline, name)

const without = <T extends object>(operators: T): T =>
  Object.fromEntries(Object.entries(operators).filter(([name]) => !SCRIPTS.has(name))) as T

type Operators = NonNullable<Parameters<typeof Context.init>[0]>

let captured: Options | undefined

const CONTEXT = Context.init({
  expression: { ...without(expressions), ...OWN_COMPARISONS },
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

const promoteWrapped = (value: object, type: string): unknown => {
  if (type === 'Double' || type === 'Int32') return Number(value)
  if (type === 'Decimal128') throw notImplemented('Computing over documents with Decimal128')
  if (type !== 'Long') return value
  const number = Number(value)
  if (!Number.isSafeInteger(number)) throw notImplemented('Computing over documents with integers beyond 2^53')
  return number
}

/** What promoted objects and arrays were made of: where mingo only passes them on, their numbers get their types back. */
const originals = new WeakMap<object, object>()

const promotedArray = (array: unknown[]): unknown[] => {
  const copy = array.map(promote)
  if (copy.every((element, i) => element === array[i])) return array
  originals.set(copy, array)
  return copy
}

/** A value as mingo understands it: numbers of all types as JavaScript's. Unchanged parts are shared, not copied. */
export const promote = (value: unknown): unknown => {
  if (typeof value !== 'object' || value === null || value instanceof Date) return value
  if (Array.isArray(value)) return promotedArray(value)
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
  if (copy) originals.set(copy, doc)
  return copy ?? doc
}

const demote = (value: unknown): unknown => {
  if (typeof value !== 'object' || value === null) return value
  const original = originals.get(value)
  if (original) return original
  if (Array.isArray(value)) return (value as unknown[]).map(demote)
  if (!isPlainObject(value)) return value
  const copy: Doc = {}
  for (const key of Object.keys(value)) setField(copy, key, demote(value[key]))
  return copy
}

const guarded = <T>(work: () => T): T => {
  try {
    return work()
  } catch (error) {
    if (error instanceof CommandError || !(error instanceof Error)) throw error
    throw new CommandError(2, error.message, {})
  }
}

/** Operators that see more of a document than the fields that an expression names. */
const LOOKING = new Set(['$getField', '$setField', '$unsetField'])

/** Collects the outermost fields that an expression names; says whether it may look at others. */
const namesFields = (expression: unknown, names: Set<string>): boolean => {
  if (typeof expression === 'string') {
    const [, name] = /^\$([^$.]+)/.exec(expression) ?? []
    if (name !== undefined) names.add(name)
    return !/^\$\$(ROOT|CURRENT)\b/.test(expression)
  }
  if (Array.isArray(expression)) return expression.every((element) => namesFields(element, names))
  if (!isPlainObject(expression)) return true
  return Object.entries(expression).every(([key, value]) => !LOOKING.has(key) && namesFields(value, names))
}

/** What mingo gets to see of a document: numbers in fields that an expression does not name may be of any type. */
const visible = (expression: unknown): ((doc: Doc) => Doc) => {
  const names = new Set<string>()
  if (!namesFields(expression, names)) return (doc) => promote(doc) as Doc
  return (doc) => {
    const seen: Doc = {}
    for (const name of names) if (Object.hasOwn(doc, name)) setField(seen, name, promote(doc[name]))
    return seen
  }
}

/** A value as an expression that is nothing but it. */
const literal = (value: unknown): unknown => (value === undefined ? '$missing' : { $literal: promote(value) })

/** An operator of mingo on values, of which there are several or one. */
export const mingoOperator = (operator: string): ((given: unknown, isList: boolean) => unknown) => {
  const options = commandOptions()
  return (given, isList) => {
    const argument = isList ? (given as unknown[]).map(literal) : literal(given)
    return guarded(() => demote(evalExpr({}, { [operator]: argument }, options)))
  }
}

/** Compiles an expression for mingo. */
export const computeByMingo = (expression: unknown): ((doc: Doc) => unknown) => {
  const promoted = promote(expression)
  const view = visible(expression)
  const options = commandOptions()
  return (doc) => guarded(() => demote(evalExpr(view(doc), promoted, options)))
}

/** Runs documents through stages of mingo. */
export const runStages = (stages: Doc[]): ((documents: Doc[]) => Doc[]) => {
  const promoted = promote(stages) as AnyObject[]
  const aggregator = new Aggregator(promoted, { context: CONTEXT, scriptEnabled: false })
  return (documents) => guarded(() => aggregator.run(documents.map(promote) as AnyObject[]).map(demote) as Doc[])
}

import { type Doc, isPlainObject, toNumber } from '../values/bson.ts'
import { CommandError, failedToParse } from '../errors.ts'
import { evaluate } from '../expressions/expressions.ts'
import { encodeValue } from '../values/key-encoding.ts'
import { isRegex } from '../query/matcher-operators.ts'
import { valuesAtPath } from '../values/paths.ts'
import { bind, variablesOf } from '../expressions/variables.ts'
import { collect, type Environment, type Stage } from './aggregate-environment.ts'
import { parseStages } from './aggregate-plan.ts'
import { withField } from './with-field.ts'

/** Stages that look into other collections of the same database. */
type Compile = (argument: unknown, environment: Environment) => Stage

const specOf = (stage: string, argument: unknown, known: readonly string[]): Doc => {
  if (!isPlainObject(argument)) throw failedToParse(`the ${stage} specification must be an object`)
  for (const key of Object.keys(argument))
    if (!known.includes(key)) throw failedToParse(`unknown argument to ${stage}: ${key}`)
  return argument
}

const text = (stage: string, spec: Doc, field: string): string => {
  const value = spec[field]
  if (typeof value !== 'string' || value === '') throw failedToParse(`${stage} argument '${field}' must be a string`)
  return value
}

/** Documents whose field has one of these values; patterns are values here. A field that is missing joins null. */
const joining = (field: string, found: readonly unknown[]): Doc => {
  const values = found.length === 0 ? [null] : found
  if (!values.some(isRegex)) return { [field]: { $in: values } }
  return { $or: values.map((value) => ({ [field]: { $eq: value } })) }
}

export const lookup: Compile = (argument, environment) => {
  const spec = specOf('$lookup', argument, ['from', 'localField', 'foreignField', 'as', 'let', 'pipeline'])
  const as = text('$lookup', spec, 'as')
  const isJoin = spec['localField'] !== undefined || spec['foreignField'] !== undefined
  if (!isJoin && spec['pipeline'] === undefined)
    throw failedToParse("$lookup requires either 'pipeline' or both 'localField' and 'foreignField' to be specified")
  const from = spec['from'] === undefined && !isJoin ? undefined : text('$lookup', spec, 'from')
  const fields = isJoin ? [text('$lookup', spec, 'localField'), text('$lookup', spec, 'foreignField')] : undefined
  const pipeline = parseStages(spec['pipeline'] ?? []).map(([name, stage]) => ({ [name]: stage }))
  const variables = variablesOf(spec['let'])
  return function* (input) {
    for (const doc of input) {
      if (doc === null) {
        yield null
        continue
      }
      const [local = '', foreign = ''] = fields ?? []
      const match = fields ? [{ $match: joining(foreign, valuesAtPath(doc, local)) }] : []
      const found: Doc[] = []
      const bound = bind(pipeline, variables(doc)) as Doc[]
      yield* collect('$lookup', environment.run(from, [...match, ...bound]), found)
      yield withField(doc, as, found)
    }
  }
}

export const unionWith: Compile = (argument, environment) => {
  const spec = typeof argument === 'string' ? { coll: argument } : specOf('$unionWith', argument, ['coll', 'pipeline'])
  const from = spec['coll'] === undefined ? undefined : text('$unionWith', spec, 'coll')
  const pipeline = spec['pipeline'] ?? []
  parseStages(pipeline)
  return function* (input) {
    yield* input
    yield* environment.run(from, pipeline)
  }
}

const GRAPH_FIELDS = [
  'from',
  'startWith',
  'connectFromField',
  'connectToField',
  'as',
  'maxDepth',
  'depthField',
  'restrictSearchWithMatch',
]

export const graphLookup: Compile = (argument, environment) => {
  const spec = specOf('$graphLookup', argument, GRAPH_FIELDS)
  const named = ['from', 'connectFromField', 'connectToField', 'as'].map((field) => text('$graphLookup', spec, field))
  const [from = '', fromField = '', toField = '', as = ''] = named
  const start = evaluate(spec['startWith'])
  const depthField = spec['depthField'] === undefined ? undefined : text('$graphLookup', spec, 'depthField')
  const maxDepth = spec['maxDepth'] === undefined ? Infinity : toNumber(spec['maxDepth'])
  if (maxDepth === undefined || maxDepth < 0) throw new CommandError(40100, 'maxDepth requires a nonnegative argument')
  const restriction = spec['restrictSearchWithMatch'] ?? {}

  function* reach(begin: unknown, reached: Map<string, Doc>): Generator<null> {
    const asked = new Set<string>()
    let frontier: unknown[] = Array.isArray(begin) ? begin : [begin ?? null]
    for (let depth = 0; depth <= maxDepth! && frontier.length > 0; depth++) {
      const found: Doc[] = []
      const pipeline = [{ $match: { $and: [joining(toField, frontier), restriction] } }]
      yield* collect('$graphLookup', environment.run(from, pipeline), found)
      const fresh = found.filter(({ _id }) => !reached.has(encodeValue(_id).toString('latin1')))
      for (const doc of fresh)
        reached.set(
          encodeValue(doc['_id']).toString('latin1'),
          depthField === undefined ? doc : withField(doc, depthField, depth),
        )
      frontier = fresh
        .flatMap((doc) => valuesAtPath(doc, fromField))
        .filter((value) => {
          const key = encodeValue(value).toString('latin1')
          return !asked.has(key) && asked.add(key)
        })
    }
  }

  return function* (input) {
    for (const doc of input) {
      if (doc === null) {
        yield null
        continue
      }
      const reached = new Map<string, Doc>()
      yield* reach(start(doc), reached)
      yield withField(doc, as, [...reached.values()])
    }
  }
}

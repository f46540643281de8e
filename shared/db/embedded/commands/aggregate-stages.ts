import { type Doc, isPlainObject } from '../bson.ts'
import { CommandError, notImplemented } from '../errors.ts'
import { checkExpression, runStages } from '../expressions.ts'
import { parseFilter } from '../matcher.ts'
import { parseProjection } from '../projection.ts'
import { parseSort, sortKeyOf } from '../sort.ts'
import { bucketDocuments, groupDocuments } from './aggregate-group.ts'
import { parseStages, stageCount } from './aggregate-plan.ts'

/** Documents on their way through a pipeline; null is a place to pause. */
export type DocStream = Generator<Doc | null>

type Stage = (input: DocStream) => DocStream

const UNSUPPORTED = new Set([
  '$lookup',
  '$graphLookup',
  '$unionWith',
  '$out',
  '$merge',
  '$geoNear',
  '$indexStats',
  '$collStats',
  '$currentOp',
  '$listSessions',
  '$planCacheStats',
  '$search',
  '$searchMeta',
  '$vectorSearch',
  '$documents',
  '$redact',
  '$setWindowFields',
  '$fill',
  '$densify',
  '$listLocalSessions',
])

/** A stage of mingo that looks at one document at a time. */
const perDocument = (stage: Doc): Stage => {
  const run = runStages([stage])
  return function* (input) {
    for (const doc of input)
      if (doc === null) yield null
      else yield* run([doc])
  }
}

const MAX_COLLECTED = 100_000

/** A stage of mingo that needs all documents at once. */
const overAll = (name: string, stage: Doc): Stage => {
  const run = runStages([stage])
  return function* (input) {
    const docs: Doc[] = []
    for (const doc of input) {
      if (doc === null) yield null
      else if (docs.push(doc) > MAX_COLLECTED)
        throw new CommandError(
          292,
          `${name} over more than ${MAX_COLLECTED} documents is not supported by the embedded store`,
        )
    }
    yield* run(docs)
  }
}

const match = (argument: unknown): Stage => {
  const { test } = parseFilter(argument)
  return function* (input) {
    for (const doc of input) if (doc === null || test(doc)) yield doc
  }
}

const project = (argument: unknown): Stage => {
  if (!isPlainObject(argument) || Object.keys(argument).length === 0)
    throw new CommandError(
      51272,
      'Invalid $project :: caused by :: projection specification must have at least one field',
    )
  const run = parseProjection(argument)
  return function* (input) {
    for (const doc of input) yield doc && run ? run(doc, {}) : doc
  }
}

const sort = (argument: unknown): Stage => {
  const parsed = parseSort(argument)
  if (!parsed) throw new CommandError(15976, '$sort stage must have at least one sort key')
  const keyOf = sortKeyOf(parsed)
  return function* (input) {
    const entries: { key: Buffer; doc: Doc }[] = []
    for (const doc of input) {
      if (doc === null) yield null
      else if (entries.push({ key: keyOf(doc), doc }) > MAX_COLLECTED)
        throw new CommandError(
          292,
          'Sort exceeded memory limit of the embedded store; sort before other stages, on an indexed field',
        )
    }
    entries.sort((a, b) => Buffer.compare(a.key, b.key))
    for (const { doc } of entries) yield doc
  }
}

const slice = (skip: number, limit: number): Stage =>
  function* (input) {
    let seen = 0
    for (const doc of input) {
      if (doc === null) yield null
      else {
        if (seen++ >= skip) yield doc
        if (seen >= skip + limit) return
      }
    }
  }

const countField = (argument: unknown): string => {
  if (typeof argument !== 'string') throw new CommandError(40156, 'the count field must be a non-empty string')
  if (argument === '') throw new CommandError(40157, 'the count field must be a non-empty string')
  if (argument.startsWith('$')) throw new CommandError(40158, 'the count field cannot be a $-prefixed path')
  if (argument.includes('.')) throw new CommandError(40160, "the count field cannot contain '.'")
  return argument
}

const count = (argument: unknown): Stage => {
  const field = countField(argument)
  return function* (input) {
    let n = 0
    for (const doc of input)
      if (doc === null) yield null
      else n++
    if (n > 0) yield { [field]: n }
  }
}

const checked = (name: string, argument: unknown, make: (stage: Doc) => Stage): Stage => {
  checkExpression(argument)
  return make({ [name]: argument })
}

const each = (name: string) => (argument: unknown) => checked(name, argument, perDocument)

const all = (name: string) => (argument: unknown) => checked(name, argument, (stage) => overAll(name, stage))

const STAGES: Record<string, (argument: unknown) => Stage> = {
  $match: match,
  $project: project,
  $sort: sort,
  $skip: (argument) => slice(stageCount('$skip', argument, 0), Infinity),
  $limit: (argument) => slice(0, stageCount('$limit', argument, 1)),
  $count: count,
  $group: groupDocuments,
  $addFields: each('$addFields'),
  $set: each('$set'),
  $unset: each('$unset'),
  $unwind: each('$unwind'),
  $replaceRoot: each('$replaceRoot'),
  $replaceWith: each('$replaceWith'),
  $sortByCount: (argument) => {
    const group = groupDocuments({ _id: argument, count: { $sum: 1 } })
    const order = sort({ count: -1 })
    return (input) => order(group(input))
  },
  $bucket: bucketDocuments,
  $bucketAuto: all('$bucketAuto'),
  $sample: (argument) => overAll('$sample', { $sample: argument }),
  $facet: facet,
}

function facet(argument: unknown): Stage {
  if (!isPlainObject(argument) || Object.keys(argument).length === 0)
    throw new CommandError(40169, 'the $facet specification must be a non-empty object')
  const facets = Object.entries(argument).map(([name, pipeline]) => {
    return { name, run: compileStages(parseStages(pipeline)) }
  })
  return function* (input) {
    const docs: Doc[] = []
    for (const doc of input) {
      if (doc === null) yield null
      else if (docs.push(doc) > MAX_COLLECTED)
        throw new CommandError(292, `$facet over more than ${MAX_COLLECTED} documents is not supported`)
    }
    const result: Doc = {}
    for (const { name, run } of facets) result[name] = [...run(replay(docs))].filter((doc) => doc !== null)
    yield result
  }
}

function* replay(docs: Doc[]): DocStream {
  yield* docs
}

const compileStage = ([name, argument]: [string, unknown]): Stage => {
  const compile = Object.hasOwn(STAGES, name) ? STAGES[name] : undefined
  if (compile) return compile(argument)
  if (name === '$changeStream')
    throw new CommandError(40573, 'The $changeStream stage is only supported on replica sets')
  if (UNSUPPORTED.has(name)) throw notImplemented(`The stage ${name}`)
  throw new CommandError(40324, `Unrecognized pipeline stage name: '${name}'`)
}

/** Compiles the stages of a pipeline into one. */
export const compileStages = (stages: [string, unknown][]): Stage => {
  const compiled = stages.map(compileStage)
  return (input) => {
    let stream = input
    for (const stage of compiled) stream = stage(stream)
    return stream
  }
}

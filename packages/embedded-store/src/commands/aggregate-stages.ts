import { type Doc, isPlainObject, toNumber, typeName } from '../values/bson.ts'
import { CommandError, notImplemented } from '../errors.ts'
import { parseFilter } from '../query/matcher.ts'
import { parseSort, sortKeyOf } from '../query/sort.ts'
import { densify } from './aggregate-densify.ts'
import { documentStage } from './aggregate-document.ts'
import { collect, type DocStream, type Environment, type Stage } from './aggregate-environment.ts'
import { fill } from './aggregate-fill.ts'
import { bucketDocuments, groupDocuments } from './aggregate-group.ts'
import { graphLookup, lookup, unionWith } from './aggregate-join.ts'
import { computingAll } from './aggregate-mingo.ts'
import { parseStages, stageCount } from './aggregate-plan.ts'
import { redact } from './aggregate-redact.ts'
import { unwind } from './aggregate-unwind.ts'
import { setWindowFields } from './aggregate-window.ts'

const LAST = new Set(['$out', '$merge'])

const UNSUPPORTED = new Set([
  '$geoNear',
  '$indexStats',
  '$collStats',
  '$currentOp',
  '$listSessions',
  '$planCacheStats',
  '$search',
  '$searchMeta',
  '$vectorSearch',
  '$listLocalSessions',
])

const match = (argument: unknown): Stage => {
  const { test } = parseFilter(argument)
  return function* (input) {
    for (const doc of input) if (doc === null || test(doc)) yield doc
  }
}

const sort = (argument: unknown): Stage => {
  if (!isPlainObject(argument)) throw new CommandError(15973, 'the $sort key specification must be an object')
  const parsed = parseSort(argument)
  if (!parsed) throw new CommandError(15976, '$sort stage must have at least one sort key')
  const keyOf = sortKeyOf(parsed)
  return function* (input) {
    const docs: Doc[] = []
    yield* collect('$sort', input, docs)
    const entries = docs.map((doc) => ({ key: keyOf(doc), doc }))
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

/** So many documents by chance, each at most once. */
const sample = (argument: unknown): Stage => {
  if (!isPlainObject(argument)) throw new CommandError(28745, 'the $sample stage specification must be an object')
  if (argument['size'] === undefined) throw new CommandError(28749, '$sample stage must specify a size')
  const size = toNumber(argument['size'])
  if (size === undefined || !Number.isInteger(size) || size <= 0)
    throw new CommandError(28747, 'size argument to $sample must be a positive whole number')
  return function* (input) {
    const docs: Doc[] = []
    yield* collect('$sample', input, docs)
    for (let left = docs.length; left > 0 && left > docs.length - size; left--) {
      const chosen = Math.floor(Math.random() * left)
      yield docs[chosen] as Doc
      docs[chosen] = docs[left - 1] as Doc
    }
  }
}

const STAGES: Record<string, (argument: unknown, environment: Environment) => Stage> = {
  $match: match,
  $project: documentStage('$project'),
  $sort: sort,
  $skip: (argument) => slice(stageCount('$skip', argument, 0), Infinity),
  $limit: (argument) => slice(0, stageCount('$limit', argument, 1)),
  $count: count,
  $group: groupDocuments,
  $addFields: documentStage('$addFields'),
  $set: documentStage('$set'),
  $unset: documentStage('$unset'),
  $unwind: unwind,
  $replaceRoot: documentStage('$replaceRoot'),
  $replaceWith: documentStage('$replaceWith'),
  $sortByCount: sortByCount,
  $bucket: bucketDocuments,
  $bucketAuto: (argument) => computingAll('$bucketAuto', argument),
  $sample: sample,
  $facet: facet,
  $lookup: lookup,
  $unionWith: unionWith,
  $graphLookup: graphLookup,
  $redact: redact,
  $setWindowFields: setWindowFields,
  $fill: fill,
  $densify: densify,
}

function sortByCount(argument: unknown): Stage {
  if (typeof argument !== 'string' && !isPlainObject(argument))
    throw new CommandError(40149, 'the sortByCount field must be specified as a string or as an object')
  if (typeof argument === 'string' && !argument.startsWith('$'))
    throw new CommandError(40148, 'the sortByCount field must be defined as a $-prefixed path or an expression')
  const group = groupDocuments({ _id: argument, count: { $sum: 1 } })
  const order = sort({ count: -1 })
  return (input) => order(group(input))
}

/** What works on collections is not for a part of a pipeline. */
const NOT_IN_FACETS = new Set([...LAST, '$facet', '$documents'])

const facetStages = (name: string, pipeline: unknown): [string, unknown][] => {
  if (!Array.isArray(pipeline))
    throw new CommandError(40170, `arguments to $facet must be arrays, ${name} is type ${typeName(pipeline)}`)
  const stages = parseStages(pipeline)
  const refused = stages.find(([stage]) => NOT_IN_FACETS.has(stage))
  if (refused) throw new CommandError(40600, `${refused[0]} is not allowed to be used within a $facet stage`)
  return stages
}

function facet(argument: unknown, environment: Environment): Stage {
  if (!isPlainObject(argument) || Object.keys(argument).length === 0)
    throw new CommandError(40169, 'the $facet specification must be a non-empty object')
  const facets = Object.entries(argument).map(([name, pipeline]) => {
    return { name, run: compileStages(facetStages(name, pipeline), environment) }
  })
  return function* (input) {
    const docs: Doc[] = []
    yield* collect('$facet', input, docs)
    const result: Doc = {}
    for (const { name, run } of facets) result[name] = [...run(replay(docs))].filter((doc) => doc !== null)
    yield result
  }
}

function* replay(docs: Doc[]): DocStream {
  yield* docs
}

const compileStage = ([name, argument]: [string, unknown], environment: Environment): Stage => {
  const compile = Object.hasOwn(STAGES, name) ? STAGES[name] : undefined
  if (compile) return compile(argument, environment)
  if (name === '$changeStream')
    throw new CommandError(40573, 'The $changeStream stage is only supported on replica sets')
  if (LAST.has(name)) throw new CommandError(40601, `${name} can only be the final stage in the pipeline`)
  if (name === '$documents')
    throw new CommandError(40602, '$documents is only valid as the first stage in a pipeline on no collection')
  if (UNSUPPORTED.has(name)) throw notImplemented(`The stage ${name}`)
  throw new CommandError(40324, `Unrecognized pipeline stage name: '${name}'`)
}

/** Compiles the stages of a pipeline into one. */
export const compileStages = (stages: [string, unknown][], environment: Environment): Stage => {
  const compiled = stages.map((stage) => compileStage(stage, environment))
  return (input) => {
    let stream = input
    for (const stage of compiled) stream = stage(stream)
    return stream
  }
}

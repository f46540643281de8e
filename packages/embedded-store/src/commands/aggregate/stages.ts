import { type Doc, encode, isPlainObject } from '../../values/bson.ts'
import { CommandError, notImplemented } from '../../errors.ts'
import { parseFilter } from '../../query/matcher.ts'
import { parseProjectStage } from '../../query/projection.ts'
import { parseSort, sortKeyOf } from '../../query/sort.ts'
import { group } from './group.ts'
import { stageCount } from './plan.ts'

/** Documents on their way through a pipeline; null is a place to pause. */
export type DocStream = Generator<Doc | null>

export type Stage = (input: DocStream) => DocStream

/** MongoDB's other stages, as of version 8. */
const OTHER = new Set(
  (
    '$addFields $bucket $bucketAuto $changeStream $changeStreamSplitLargeEvent $collStats $currentOp $densify ' +
    '$documents $facet $fill $geoNear $graphLookup $indexStats $listClusterCatalog $listLocalSessions ' +
    '$listSampledQueries $listSearchIndexes $listSessions $lookup $merge $out $planCacheStats $querySettings ' +
    '$queryStats $rankFusion $redact $replaceRoot $replaceWith $sample $search $searchMeta $set $setWindowFields ' +
    '$shardedDataDistribution $sortByCount $unionWith $unset $unwind $vectorSearch'
  ).split(' '),
)

const match = (argument: unknown): Stage => {
  if (!isPlainObject(argument)) throw new CommandError(15959, 'the match filter must be an expression in an object')
  const { test } = parseFilter(argument)
  return function* (input) {
    for (const doc of input) if (doc === null || test(doc)) yield doc
  }
}

/** MongoDB's limit for a sort in memory. */
const MAX_SORT_BYTES = 100 * 1024 * 1024

const sort = (argument: unknown): Stage => {
  if (!isPlainObject(argument)) throw new CommandError(15973, 'the $sort key specification must be an object')
  const parsed = parseSort(argument)
  if (!parsed) throw new CommandError(15976, '$sort stage must have at least one sort key')
  const keyOf = sortKeyOf(parsed)
  return function* (input) {
    const entries: { key: Buffer; doc: Doc }[] = []
    let bytes = 0
    for (const doc of input) {
      if (doc === null) {
        yield null
        continue
      }
      const key = keyOf(doc)
      bytes += key.length + 3 * encode(doc, 10334).length
      if (bytes > MAX_SORT_BYTES)
        throw new CommandError(292, 'Sort exceeded memory limit of 104857600 bytes: reduce the documents before it')
      entries.push({ key, doc })
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

const project = (argument: unknown): Stage => {
  const make = parseProjectStage(argument)
  return function* (input) {
    for (const doc of input) yield doc && make(doc)
  }
}

const STAGES: Record<string, (argument: unknown) => Stage> = {
  $match: match,
  $project: project,
  $sort: sort,
  $skip: (argument) => slice(stageCount('$skip', argument, 0), Infinity),
  $limit: (argument) => slice(0, stageCount('$limit', argument, 1)),
  $count: count,
  $group: group,
}

/** Refuses a stage that the store does not have. @throws CommandError 238 for one that MongoDB has, else 40324 */
export const checkStageName = (name: string): void => {
  if (Object.hasOwn(STAGES, name)) return
  if (OTHER.has(name)) throw notImplemented(`The stage ${name}`)
  throw new CommandError(40324, `Unrecognized pipeline stage name: '${name}'`)
}

/** Compiles the stages of a pipeline into one. */
export const compileStages = (stages: [string, unknown][]): Stage => {
  const compiled = stages.map(([name, argument]) => {
    checkStageName(name)
    return (STAGES[name] as (argument: unknown) => Stage)(argument)
  })
  return (input) => {
    let stream = input
    for (const stage of compiled) stream = stage(stream)
    return stream
  }
}

import { type Doc, isPlainObject, toNumber } from '../../values/bson.ts'
import { CommandError } from '../../errors.ts'
import { shellText } from '../../values/shell-text.ts'

/** The part of a pipeline that is done while documents are found; `rest` works on the result. */
export type SplitPipeline = { filter: Doc; sort: unknown; skip: number; limit: number; rest: [string, unknown][] }

/** The stages of a pipeline as name and argument. */
const parseStages = (pipeline: unknown): [string, unknown][] => {
  if (!Array.isArray(pipeline)) throw new CommandError(14, "'pipeline' option must be specified as an array")
  return (pipeline as unknown[]).map((stage) => {
    if (!isPlainObject(stage)) throw new CommandError(14, "Each element of the 'pipeline' array must be an object")
    const entries = Object.entries(stage)
    const [first] = entries
    if (!first || entries.length !== 1)
      throw new CommandError(40323, 'A pipeline stage specification object must contain exactly one field.')
    return first
  })
}

/** A count of documents as $skip and $limit take it. */
export const stageCount = (name: string, value: unknown, least: number): number => {
  const number = toNumber(value)
  if (number === undefined || !Number.isInteger(number) || number < 0)
    throw new CommandError(
      name === '$limit' ? 5107201 : 5107200,
      `invalid argument to ${name} stage: Expected a non-negative integer in: ${name}: ${shellText(value)}`,
    )
  if (number < least) throw new CommandError(15958, 'the limit must be positive')
  return number
}

const matchesIn = (stages: [string, unknown][]): Doc[] => {
  const filters: Doc[] = []
  while (stages[0]?.[0] === '$match') {
    const filter = stages.shift()?.[1]
    if (!isPlainObject(filter)) throw new CommandError(15959, 'the match filter must be an expression in an object')
    filters.push(filter)
  }
  return filters
}

/** Takes the leading $match, $sort, $skip and $limit stages off a pipeline, in that order. */
export const splitPipeline = (pipeline: unknown): SplitPipeline => {
  const rest = parseStages(pipeline)
  const filters = matchesIn(rest)
  const sort = rest[0]?.[0] === '$sort' ? rest.shift()?.[1] : undefined
  if (sort !== undefined) {
    if (!isPlainObject(sort)) throw new CommandError(15973, 'the $sort key specification must be an object')
    if (Object.keys(sort).length === 0) throw new CommandError(15976, '$sort stage must have at least one sort key')
    // a match behind the sort finds the same documents before it
    filters.push(...matchesIn(rest))
  }
  const skip = rest[0]?.[0] === '$skip' ? stageCount('$skip', rest.shift()?.[1], 0) : 0
  const limit = rest[0]?.[0] === '$limit' ? stageCount('$limit', rest.shift()?.[1], 1) : 0
  const filter = filters.length > 1 ? { $and: filters } : (filters[0] ?? {})
  return { filter, sort, skip, limit, rest }
}

/** The group that a driver's `countDocuments` asks for, `{_id: 1, n: {$sum: 1}}`, or undefined for any other. */
export const countOnly = (rest: [string, unknown][]): { id: unknown; field: string } | undefined => {
  const [stage] = rest
  if (rest.length !== 1 || stage?.[0] !== '$group' || !isPlainObject(stage[1])) return undefined
  const { _id: id, ...fields } = stage[1]
  const [entry, ...others] = Object.entries(fields)
  if (!entry || others.length > 0 || (id !== null && typeof id !== 'number')) return undefined
  const [field, accumulator] = entry
  const isCount = isPlainObject(accumulator) && Object.keys(accumulator).length === 1 && accumulator['$sum'] === 1
  return isCount ? { id, field } : undefined
}

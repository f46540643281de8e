import { type Doc, toNumber, typeName } from '../values/bson.ts'
import { CommandError } from '../errors.ts'
import { parseFilter } from './matcher.ts'
import type { MatchContext } from '../values/paths.ts'

const checkSlicePair = (pair: unknown[]): void => {
  if (pair.length !== 2) throw new CommandError(31272, '$slice array argument should be of form [skip, limit]')
  const [skip, limit] = pair
  if (toNumber(skip) === undefined)
    throw new CommandError(31257, `$slice expects the skip argument to be a number, got ${typeName(skip)}`)
  const most = toNumber(limit)
  if (most === undefined)
    throw new CommandError(31258, `$slice expects the limit argument to be a number, got ${typeName(limit)}`)
  if (Math.trunc(most) <= 0) throw new CommandError(31259, `$slice limit must be positive, got ${most}`)
}

const startAndEnd = (argument: unknown): ((length: number) => [number, number]) => {
  if (Array.isArray(argument)) {
    checkSlicePair(argument)
    const [skip = 0, limit = 0] = argument.map((value) => Math.trunc(toNumber(value) ?? 0))
    return (length) => {
      const start = skip < 0 ? Math.max(length + skip, 0) : skip
      return [start, start + limit]
    }
  }
  const count = toNumber(argument)
  if (count === undefined) throw new CommandError(31273, '$slice only supports numbers and [skip, limit] arrays')
  return (length) => (count < 0 ? [Math.max(length + Math.trunc(count), 0), length] : [0, Math.trunc(count)])
}

/** `$slice` of a find: a part of an array; what is no array stays. */
export const slice = (argument: unknown): ((value: unknown) => unknown) => {
  const range = startAndEnd(argument)
  return (value) => (Array.isArray(value) ? value.slice(...range(value.length)) : value)
}

/** `$elemMatch` of a find: the first element that matches, in an array; undefined when there is none. */
export const elemMatch = (argument: Doc): ((value: unknown) => unknown) => {
  const { test } = parseFilter({ value: { $elemMatch: argument } })
  return (value) => {
    if (!Array.isArray(value)) return undefined
    const found = value.findIndex((element) => test({ value: [element] }))
    return found < 0 ? undefined : [value[found]]
  }
}

/** `a.$`: the element that the filter has matched. */
export const positional = (value: unknown, { arrayIndex }: MatchContext): unknown => {
  if (!Array.isArray(value)) return value
  if (arrayIndex === undefined)
    throw new CommandError(
      51246,
      "Executor error during find command :: caused by :: positional operator '.$' couldn't find a matching element in the array",
    )
  return arrayIndex < value.length ? [value[arrayIndex]] : []
}

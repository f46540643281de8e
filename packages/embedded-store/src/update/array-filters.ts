import { type Doc, isPlainObject } from '../values/bson.ts'
import { badValue, failedToParse, typeMismatch } from '../errors.ts'
import { parseFilter, type Test } from '../query/matcher.ts'
import { shellText } from '../values/shell-text.ts'
import { isElements } from './update-paths.ts'

/** The one name that all conditions of an array filter begin with. */
const filterName = (spec: Doc): string | undefined => {
  const names = new Set<string | undefined>()
  for (const [key, value] of Object.entries(spec)) {
    if (!key.startsWith('$')) names.add(key.split('.')[0])
    else if (Array.isArray(value)) for (const clause of value as Doc[]) names.add(filterName(clause))
  }
  if (names.size > 1)
    throw failedToParse(
      `Error parsing array filter :: caused by :: Expected a single top-level field name, found ${[...names].map((name) => `'${name ?? ''}'`).join(' and ')}`,
    )
  return [...names][0]
}

const checkedName = (spec: Doc): string => {
  const name = filterName(spec)
  if (name === undefined) throw failedToParse('Cannot use an expression without a top-level field name in arrayFilters')
  if (!/^[a-z][a-zA-Z0-9]*$/.test(name))
    throw badValue(
      `Error parsing array filter :: caused by :: The top-level field name must be an alphanumeric string beginning with a lowercase letter, found '${name}'`,
    )
  return name
}

/** The array filters by name. */
export const parseArrayFilters = (arrayFilters: unknown): Map<string, Test> => {
  if (arrayFilters !== undefined && !Array.isArray(arrayFilters)) throw typeMismatch('arrayFilters must be an array')
  const filters = new Map<string, Test>()
  for (const spec of (arrayFilters ?? []) as unknown[]) {
    if (!isPlainObject(spec)) throw typeMismatch('an array filter must be an object')
    const { test } = parseFilter(spec)
    const name = checkedName(spec)
    if (filters.has(name))
      throw failedToParse(`Found multiple array filters with the same top-level field name ${name}`)
    filters.set(name, test)
  }
  return filters
}

/** Refuses a part of a path that is a `$[name]` without a filter, or at the front. */
export const checkFilterAt = (parts: readonly string[], depth: number, filters: Map<string, Test>): void => {
  const part = parts[depth]
  if (part === undefined || !isElements(part)) return
  const name = part.slice(2, -1)
  if (name !== '' && !filters.has(name))
    throw badValue(`No array filter found for identifier '${name}' in path '${parts.join('.')}'`)
  if (depth === 0)
    throw badValue(
      `Cannot have array filter identifier (i.e. '$[<id>]') element in the first position in path '${parts.join('.')}'`,
    )
}

/** Refuses array filters that no path uses. */
export const checkFiltersUsed = (filters: Map<string, Test>, paths: readonly string[][], update: Doc): void => {
  for (const name of filters.keys())
    if (!paths.some((parts) => parts.includes(`$[${name}]`)))
      throw failedToParse(`The array filter for identifier '${name}' was not used in the update ${shellText(update)}`)
}

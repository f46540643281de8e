import { type Doc, isPlainObject } from './bson.ts'
import { badValue, failedToParse, typeMismatch } from './errors.ts'
import { parseFilter, type Test } from './matcher.ts'
import { shellText } from './shell-text.ts'

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

/** The array filters by name: each is used by a path, and each name of a path has one. */
export const parseArrayFilters = (arrayFilters: unknown, paths: string[][], update: Doc): Map<string, Test> => {
  if (arrayFilters !== undefined && !Array.isArray(arrayFilters)) throw typeMismatch('arrayFilters must be an array')
  const filters = new Map<string, Test>()
  for (const spec of (arrayFilters ?? []) as unknown[]) {
    if (!isPlainObject(spec)) throw typeMismatch('an array filter must be an object')
    const name = checkedName(spec)
    if (filters.has(name))
      throw failedToParse(`Found multiple array filters with the same top-level field name ${name}`)
    if (!paths.some((parts) => parts.includes(`$[${name}]`)))
      throw failedToParse(`The array filter for identifier '${name}' was not used in the update ${shellText(update)}`)
    filters.set(name, parseFilter(spec).test)
  }
  for (const parts of paths)
    for (const part of parts) {
      const name = /^\$\[(.+)\]$/.exec(part)?.[1]
      if (name !== undefined && !filters.has(name))
        throw badValue(`No array filter found for identifier '${name}' in path '${parts.join('.')}'`)
    }
  return filters
}

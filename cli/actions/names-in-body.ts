import { ApiFailure } from '../http/failures.ts'
import type { Target } from '../http/target.ts'
import { findAction, nounOf } from '../manifest/manifest.ts'
import type { Action } from '../manifest/types.ts'
import { hasNames, idOf } from './find-by-name.ts'

type Values = Record<string, unknown>

/**
 * Replaces names in a body by ids where the server has refused them as not found: `--disk pool=main` for the storage pool
 * with the name `main`. @returns false if there is nothing to replace
 */
export async function nameIds(target: Target, values: Values, error: unknown): Promise<boolean> {
  if (!(error instanceof ApiFailure)) return false
  let hasReplaced = false
  for (const path of refusedPlaces(values, error)) {
    const text = valueIn(values, path)
    const list = listOf(path.at(-1) ?? '')
    if (typeof text !== 'string' || !list) continue
    setIn(values, path, await idOf(target, list, text))
    hasReplaced = true
  }
  return hasReplaced
}

/** Places of the values that were not found: of each violation, or of the one that a 404 names. */
function refusedPlaces(values: Values, { status, answer, message }: ApiFailure): string[][] {
  const isNamed = (text: unknown, words: string) => typeof text === 'string' && words.includes(`'${text}' not found`)
  if (status === 404)
    return Object.keys(values)
      .filter((name) => isNamed(values[name], message))
      .map((name) => [name])
  return (answer?.violations ?? [])
    .map(({ field, message: words }) => ({ path: field.split('.'), words }))
    .filter(({ path, words }) => isNamed(valueIn(values, path), words))
    .map(({ path }) => path)
}

/** The list of resources that a field such as `pool`, `node` or `vm_id` names. */
function listOf(field: string): Action | undefined {
  const noun = nounOf(field.replace(/_id$/, '').replaceAll('_', '-'))
  const list = noun === undefined ? undefined : findAction(noun, 'list')
  return list && !list.path.includes('{') && hasNames(list) ? list : undefined
}

const valueIn = (values: Values, path: string[]) =>
  path.reduce<unknown>((at, name) => (at as Values | null | undefined)?.[name], values)

function setIn(values: Values, path: string[], value: string): void {
  // The path was read before: every part of it is there.
  const parent = valueIn(values, path.slice(0, -1)) as Values
  parent[path.at(-1)!] = value
}

import type { TSchema } from 'typebox'
import { branchesOf, propertiesOf } from '../shared/contract/branches.ts'
import type { Action } from '../shared/contract/contract.ts'
import { unitOf } from '../shared/contract/hints.ts'

/** Kinds of inputs that follow from the type, the unit and the secrecy of a parameter; others are text. */
export type ContractKind = 'password' | 'check' | 'number' | 'bytes' | 'mib' | 'words'
export type Kinds = Record<string, ContractKind | 'text'>

/** A JSON Schema, as far as a form reads it; TypeBox's are. */
type Schema = { type?: string; anyOf?: Schema[]; items?: Schema }

const typesOf = ({ type, anyOf = [] }: Schema): string[] => [...(type ? [type] : []), ...anyOf.flatMap(typesOf)]

/** The kind of the input of a parameter. */
export function inputKind(name: string, schema: TSchema, isSecret = false): ContractKind | 'text' {
  if (isSecret) return 'password'
  const shape = schema as Schema
  const types = typesOf(shape).filter((type) => type !== 'null')
  const isAll = (...wanted: string[]) => types.length > 0 && types.every((type) => wanted.includes(type))
  if (isAll('boolean')) return 'check'
  if (isAll('integer', 'number')) return sizeKind(unitOf(name, schema))
  return isAll('array') && shape.items?.type === 'string' ? 'words' : 'text'
}

const sizeKind = (unit: ReturnType<typeof unitOf>) =>
  unit === 'bytes' || unit === 'bytes/s' ? 'bytes' : unit === 'MiB' ? 'mib' : 'number'

type Given = { path: string; kind: ContractKind | 'text' }

/** The parameters of an action by their paths, such as `limits.memory`. */
function givenOf(schema: TSchema, secrets: readonly string[], prefix = ''): Given[] {
  return Object.entries(propertiesOf(schema)).flatMap(([name, field]) => {
    const path = `${prefix}${name}`
    const isObject = branchesOf(field).some(({ properties }) => properties)
    const own = { path, kind: inputKind(name, field, secrets.includes(path)) }
    return [own, ...(isObject ? givenOf(field, secrets, `${path}.`) : [])]
  })
}

/**
 * Kinds of inputs by the path of the parameter, as most actions have it; where an action differs, by
 * `contract.action:path`.
 */
export function kindsOf(actions: readonly (readonly [name: string, action: Action])[]): Kinds {
  const all = actions.flatMap(([name, action]) =>
    action.rest?.startsWith('GET')
      ? []
      : givenOf(action.params, action.secret ?? []).map((given) => ({ ...given, name })),
  )
  const byPath = [...Map.groupBy(all, ({ path }) => path)]
  return Object.fromEntries(
    byPath.flatMap(([path, given]): [string, ContractKind | 'text'][] => {
      const counts = [...Map.groupBy(given, ({ kind }) => kind)].toSorted(([, a], [, b]) => b.length - a.length)
      const usual = counts[0]![0]
      const others = given.filter(({ kind }) => kind !== usual)
      return [
        ...(usual === 'text' ? [] : [[path, usual] as [string, ContractKind]]),
        ...others.map(({ name, kind }): [string, ContractKind | 'text'] => [`${name}:${path}`, kind]),
      ]
    }),
  )
}

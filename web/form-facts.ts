import type { TSchema } from 'typebox'
import { branchesOf, propertiesOf } from '../shared/contract/branches.ts'
import type { Action } from '../shared/contract/contract.ts'
import { exampleOf, unitOf } from '../shared/contract/hints.ts'
import { Id, Name } from '../shared/contracts/common.ts'

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

type Given = { path: string; kind: ContractKind | 'text'; example: string | undefined }

const patternOf = (schema: TSchema) => (schema as { pattern?: string }).pattern
/** Ids and names have the same example everywhere, which says nothing about them. */
const commonPatterns = [Id, Name].map(patternOf)
/** One line of at most so many characters is a hint; a certificate is none. */
const hintable = /^.{1,60}$/

/** The example of a text for its hint. */
export function textExample(schema: TSchema): string | undefined {
  const example = exampleOf(schema)
  const isHint = typeof example === 'string' && hintable.test(example) && !commonPatterns.includes(patternOf(schema))
  return isHint ? example : undefined
}

/** The parameters of an action by their paths, such as `limits.memory`. */
function givenOf(schema: TSchema, secrets: readonly string[], prefix = ''): Given[] {
  return Object.entries(propertiesOf(schema)).flatMap(([name, field]) => {
    const path = `${prefix}${name}`
    const isObject = branchesOf(field).some(({ properties }) => properties)
    const own = { path, kind: inputKind(name, field, secrets.includes(path)), example: textExample(field) }
    return [own, ...(isObject ? givenOf(field, secrets, `${path}.`) : [])]
  })
}

export type Routed = readonly (readonly [name: string, action: Action])[]
/** The parameters that forms send, each with its action. */
const allGiven = (actions: Routed) =>
  actions.flatMap(([name, action]) =>
    action.rest?.startsWith('GET')
      ? []
      : givenOf(action.params, action.secret ?? []).map((given) => ({ ...given, name })),
  )

/**
 * Kinds of inputs by the path of the parameter, as most actions have it; where an action differs, by
 * `contract.action:path`.
 */
export function kindsOf(actions: Routed): Kinds {
  const byPath = [...Map.groupBy(allGiven(actions), ({ path }) => path)]
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

/** Examples of texts by the path of the parameter, where all actions have the same one. */
export function examplesOf(actions: Routed): Record<string, string> {
  const texts = allGiven(actions).filter(({ kind }) => kind === 'text')
  return Object.fromEntries(
    [...Map.groupBy(texts, ({ path }) => path)].flatMap(([path, [first, ...others]]) =>
      first?.example !== undefined && others.every(({ example }) => example === first.example)
        ? [[path, first.example]]
        : [],
    ),
  )
}

import { bulkFor, flagOf, positionalParams } from '../manifest/manifest.ts'
import type { Action, Form, Param } from '../manifest/types.ts'
import { exampleOf } from '../manifest/examples.ts'
import { measures, unitExamples } from '../manifest/units.ts'
import type { Flag } from './parse.ts'

/** The word for a value in help texts. */
export function valueWord(form: Form): string {
  if (form.enum) return form.enum.length <= 5 ? form.enum.join('|') : 'WORD'
  if (form.unit) return measures[form.unit].word
  if (form.type === 'array') return form.items?.type === 'object' ? valueWord(form.items) : 'A,B'
  if (form.type === 'object') return form.fields ? `${Object.keys(form.fields)[0]}=…` : 'NAME=VALUE'
  return { integer: 'N', number: 'N', any: 'JSON' }[form.type as string] ?? 'TEXT'
}

/** The flag of one parameter. */
function flagOfParam(param: Param): Flag {
  const isBoolean = param.type === 'boolean' && !param.nullable
  const does = [
    param.does?.toLowerCase() === param.unit?.toLowerCase() ? undefined : param.does,
    exampleHelp(param),
    fieldsHelp(param),
  ]
    .filter(Boolean)
    .join('; ')
  return {
    ...(does !== '' && { does }),
    ...(isBoolean ? { isBoolean } : { value: valueWord(param) }),
    ...(param.enum && !param.nullable && { choices: param.enum }),
    ...((param.type === 'array' || param.type === 'object') && { isMultiple: true }),
    ...(param.secret && { isSecret: true }),
  }
}

/** `such as 4GiB`, if its description has no example. */
function exampleHelp(param: Param): string | undefined {
  const { unit, does = '', secret } = param
  if (unit) return `such as ${unitExamples(unit)}`
  const example = exampleOf(param)
  return example === undefined || secret || /such as/i.test(does) ? undefined : `such as ${example}`
}

/** The fields of an object, or of each object of a list. */
function fieldsHelp({ fields, items }: Form): string | undefined {
  const names = Object.keys(fields ?? items?.fields ?? {})
  return names.length > 0 ? `NAME=VALUE pairs with commas: ${names.join(', ')}; or JSON` : undefined
}

/** Singular names of lists: `--disk` beside `--disks`, `--tag` beside `--tags`. */
export const singularOf = (flag: string) => flag.replace(/ies$/, 'y').replace(/(?<!s)s$/, '')

/** Flags of all parameters that are no positional arguments, each with its parameter. */
export function flagsOf(action: Action): { flags: Record<string, Flag>; params: Map<string, Param> } {
  const flags: Record<string, Flag> = {}
  const params = new Map<string, Param>()
  const add = (name: string, param: Param, flag: Flag) => {
    flags[name] = flag
    params.set(name, param)
  }
  if (bulkFor(action))
    flags['query'] = { value: 'QUERY', does: "All that fit, such as 'tags:test status:running', after a plan" }
  const inPath = action.params.filter(({ path }) => path)
  for (const param of action.params.filter((one) => !inPath.includes(one))) {
    const name = flagOf(param)
    add(name, param, flagOfParam(param))
    if (!param.secret) continue
    add(`${name}-file`, param, { value: 'FILE', does: `Read ${name} from a file` })
    add(`${name}-stdin`, param, { isBoolean: true, does: `Read ${name} from standard input` })
  }
  for (const [name, param] of Array.from(params))
    if (param.type === 'array' && !Object.hasOwn(flags, singularOf(name))) add(singularOf(name), param, flags[name]!)
  return { flags, params }
}

/** `vms start ID`, with the arguments of an action. */
export const usageOf = (action: Action) =>
  [action.noun, action.verb, ...positionalParams(action).map((param) => argumentWord(action, param))].join(' ')

/** `VM` for the `{id}` of `/vms/{id}/start`. */
export function argumentWord(action: Action, { name }: Param): string {
  if (name === 'username') return 'USER'
  if (name === 'q') return '[QUERY]'
  if (name !== 'id') return name.replace(/_id$/, '').toUpperCase().replaceAll('_', '-')
  const owner = action.path.split('/{id}')[0]!.split('/').at(-1) ?? action.noun
  return singularOf(owner).toUpperCase()
}

import { type Doc, isPlainObject, setField } from '../values/bson.ts'
import { badValue } from '../errors.ts'
import { evaluate } from './expressions.ts'

/** Values for the variables of a pipeline, `$$name` in it. */
export type Variables = Doc

/** Compiles `let`: what the variables of a pipeline are for one document. */
export const variablesOf = (spec: unknown): ((doc: Doc) => Variables) => {
  if (spec === undefined) return () => ({})
  if (!isPlainObject(spec)) throw badValue("'let' must be an object")
  const fields = Object.entries(spec).map(([name, expression]) => {
    if (!/^[a-z\u0080-\uffff]\w*$/.test(name))
      throw badValue(`'${name}' starts with an invalid character for a variable`)
    return { name, compute: evaluate(expression) }
  })
  return (doc) => Object.fromEntries(fields.map(({ name, compute }) => [name, compute(doc)]))
}

/** The value of `$$name` or `$$name.path` as an expression. */
const valueOf = (text: string, variables: Variables): unknown => {
  const [, name = '', path = ''] = /^\$\$(\w+)(\..+)?$/.exec(text) ?? []
  if (!Object.hasOwn(variables, name)) return text
  const value = path === '' ? variables[name] : evaluate(`$${name}${path}`)(variables)
  return value === undefined ? '$$REMOVE' : { $literal: value }
}

/** The names that an operator binds anew for what is within it. */
const boundBy = (spec: Doc): string[] => {
  const names: unknown[] = []
  for (const operator of ['$map', '$filter', '$reduce', '$let']) {
    const inner = spec[operator]
    if (!isPlainObject(inner)) continue
    names.push(inner['as'], ...(isPlainObject(inner['vars']) ? Object.keys(inner['vars']) : []))
  }
  return names.filter((name) => typeof name === 'string')
}

/** A pipeline, or a part of one, with values in the places of its variables. */
export const bind = (part: unknown, variables: Variables): unknown => {
  if (typeof part === 'string') return part.startsWith('$$') ? valueOf(part, variables) : part
  if (Array.isArray(part)) return (part as unknown[]).map((element) => bind(element, variables))
  if (!isPlainObject(part) || Object.hasOwn(part, '$literal')) return part
  const bound = boundBy(part)
  const known =
    bound.length === 0
      ? variables
      : Object.fromEntries(Object.entries(variables).filter(([name]) => !bound.includes(name)))
  const copy: Doc = {}
  for (const key of Object.keys(part)) setField(copy, key, bind(part[key], known))
  return copy
}

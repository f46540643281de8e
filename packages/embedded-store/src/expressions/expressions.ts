import { type Doc, isPlainObject, setField } from '../values/bson.ts'
import { checkExpression } from './expression-check.ts'
import { applied, takesValues } from './expression-apply.ts'
import { OPERATORS } from './expression-operators.ts'
import type { Compute } from './expression-parts.ts'
import { computeByMingo, promote } from './expressions-mingo.ts'

/** A path of an expression goes through arrays to the fields of the objects in them, and never to a place. */
const follow = (value: unknown, parts: readonly string[], depth: number): unknown => {
  if (depth === parts.length) return value
  if (Array.isArray(value))
    return value
      .filter(isPlainObject)
      .map((element) => follow(element, parts, depth))
      .filter((found) => found !== undefined)
  const part = parts[depth] as string
  return isPlainObject(value) && Object.hasOwn(value, part) ? follow(value[part], parts, depth + 1) : undefined
}

const reference = (text: string): Compute => {
  if (text === '$$REMOVE') return () => undefined
  const [, path] = /^\$\$(?:ROOT|CURRENT)(?:\.(.+))?$/.exec(text) ?? (text.startsWith('$$') ? [] : ['', text.slice(1)])
  const isRoot = /^\$\$(ROOT|CURRENT)$/.test(text)
  if (isRoot) return (doc) => doc
  if (path === undefined) return computeByMingo(text)
  const parts = path.split('.')
  return (doc) => follow(doc, parts, 0)
}

const object = (spec: Doc): Compute => {
  const fields = Object.entries(spec).map(([name, value]) => ({ name, compute: compile(value) }))
  return (doc) => {
    const result: Doc = {}
    for (const { name, compute } of fields) {
      const value = compute(doc)
      if (value !== undefined) setField(result, name, value)
    }
    return result
  }
}

/** What a value is that may keep its type is computed here, all other operators by mingo. */
const compile = (expression: unknown): Compute => {
  if (typeof expression === 'string' && expression.startsWith('$')) return reference(expression)
  if (Array.isArray(expression)) {
    const elements = (expression as unknown[]).map(compile)
    return (doc) => elements.map((compute) => compute(doc) ?? null)
  }
  if (!isPlainObject(expression)) return () => expression
  const [operator] = Object.keys(expression)
  if (!operator?.startsWith('$')) return object(expression)
  const argument = expression[operator]
  const own = Object.hasOwn(OPERATORS, operator) ? OPERATORS[operator] : undefined
  if (own) return own(argument, compile)
  return takesValues(argument) ? applied(operator, argument, compile) : computeByMingo(expression)
}

/** Compiles an aggregation expression; undefined is what it gives for a field that is missing. */
export const evaluateTyped = (expression: unknown, variables?: readonly string[]): Compute => {
  checkExpression(expression, variables)
  return compile(expression)
}

/** Like `evaluateTyped`, but numbers of all types are given as JavaScript's. */
export const evaluate = (expression: unknown, variables?: readonly string[]): Compute => {
  const compute = evaluateTyped(expression, variables)
  return (doc) => promote(compute(doc))
}

import * as accumulators from 'mingo/operators/accumulator'
import * as expressions from 'mingo/operators/expression'
import { type Doc, isPlainObject } from '../values/bson.ts'
import { CommandError, failedToParse, notImplemented } from '../errors.ts'
import { COMPARISONS } from './expression-parts.ts'
import { SCRIPTS } from './expressions-mingo.ts'
import { fieldPath } from '../values/field-path.ts'

const VARIABLES: ReadonlySet<string> = new Set(['ROOT', 'CURRENT', 'REMOVE', 'NOW'])
const OTHER_VARIABLES = new Set(['CLUSTER_TIME', 'USER_ROLES', 'SEARCH_META', 'JS_SCOPE', 'IS_MR'])

export const isExpressionName = (name: string): boolean =>
  Object.hasOwn(expressions, name) || Object.hasOwn(accumulators, name) || SCRIPTS.has(name)

/** How many arguments an operator takes at least and at most. */
const ARGUMENTS: Record<string, [number, number]> = {
  ...Object.fromEntries(Object.keys(COMPARISONS).map((name): [string, [number, number]] => [name, [2, 2]])),
  $size: [1, 1],
  $type: [1, 1],
  $slice: [2, 3],
}

const checkArguments = (operator: string, argument: unknown): void => {
  const [least, most] = (Object.hasOwn(ARGUMENTS, operator) ? ARGUMENTS[operator] : undefined) ?? [0, Infinity]
  const count = Array.isArray(argument) ? argument.length : 1
  if (count >= least && count <= most) return
  throw least === most
    ? new CommandError(16020, `Expression ${operator} takes exactly ${least} arguments. ${count} were passed in.`)
    : new CommandError(
        28667,
        `Expression ${operator} takes at least ${least} arguments, and at most ${most}, but ${count} were passed in.`,
      )
}

/** What an operator binds for its part `within`. */
const boundBy = (operator: string, argument: Doc): { within: string; names: string[] } | undefined => {
  const as = typeof argument['as'] === 'string' ? argument['as'] : 'this'
  if (operator === '$map') return { within: 'in', names: [as] }
  if (operator === '$filter') return { within: 'cond', names: [as] }
  if (operator === '$reduce') return { within: 'in', names: ['this', 'value'] }
  if (operator !== '$let') return undefined
  return { within: 'in', names: isPlainObject(argument['vars']) ? Object.keys(argument['vars']) : [] }
}

const checkVariable = (text: string, known: ReadonlySet<string>): void => {
  const [name = '', ...path] = text.slice('$$'.length).split('.')
  if (name === '') throw failedToParse('empty variable names are not allowed')
  const [wrong] = /[^\w\u0080-\uffff]/.exec(name) ?? []
  if (wrong !== undefined)
    throw failedToParse(`'${name}' contains an invalid character for a variable name: '${wrong}'`)
  if (/^[\d_]/.test(name)) throw failedToParse(`'${name}' starts with an invalid character for a user variable name`)
  if (OTHER_VARIABLES.has(name)) throw notImplemented(`The variable ${name}`)
  if (!known.has(name)) throw new CommandError(17276, `Use of undefined variable: ${name}`)
  if (path.length > 0) fieldPath(path.join('.'))
}

const checkText = (text: string, known: ReadonlySet<string>): void => {
  if (text === '$') throw new CommandError(16872, "'$' by itself is not a valid FieldPath")
  if (text.startsWith('$$')) checkVariable(text, known)
  else if (text.startsWith('$')) fieldPath(text.slice(1))
}

const checkOperator = (operator: string, argument: unknown, known: ReadonlySet<string>): void => {
  if (SCRIPTS.has(operator)) throw notImplemented(operator)
  if (!isExpressionName(operator)) throw new CommandError(168, `Unrecognized expression '${operator}'`)
  checkArguments(operator, argument)
  if (operator === '$literal') return
  const binding = isPlainObject(argument) ? boundBy(operator, argument) : undefined
  if (!binding) return check(argument, known)
  for (const [part, value] of Object.entries(argument as Doc))
    check(value, part === binding.within ? new Set([...known, ...binding.names]) : known)
}

const check = (expression: unknown, known: ReadonlySet<string>): void => {
  if (typeof expression === 'string') return checkText(expression, known)
  if (Array.isArray(expression)) return expression.forEach((element) => check(element, known))
  if (!isPlainObject(expression)) return
  const [first, ...others] = Object.keys(expression)
  if (first?.startsWith('$') && others.length > 0)
    throw new CommandError(15983, 'An object representing an expression must have exactly one field')
  if (first?.startsWith('$')) return checkOperator(first, expression[first], known)
  for (const [name, value] of Object.entries(expression)) {
    if (name.startsWith('$')) fieldPath(name)
    check(value, known)
  }
}

/**
 * Refuses an expression that MongoDB would refuse before it has seen a document, and operators that mingo does not have.
 * `variables` are those that may be in it beside MongoDB's own.
 */
export const checkExpression = (expression: unknown, variables: readonly string[] = []): void => {
  check(expression, variables.length === 0 ? VARIABLES : new Set([...VARIABLES, ...variables]))
}

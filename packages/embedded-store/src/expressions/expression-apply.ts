import { isPlainObject } from '../values/bson.ts'
import { CommandError } from '../errors.ts'
import { mingoOperator } from './expressions-mingo.ts'
import type { Compute } from './expression-parts.ts'

const byName = (code: number, ...names: string[]): [string, number][] => names.map((name) => [name, code])

/** What MongoDB says of an argument of the wrong type. */
const WRONG_TYPE = new Map<string, number>([
  ...byName(28765, '$abs', '$ceil', '$floor', '$exp', '$ln', '$log10', '$sqrt', '$sin', '$cos', '$tan'),
  ...byName(51081, '$round', '$trunc'),
  ...byName(28762, '$pow'),
  ...byName(28756, '$log'),
  ...byName(14, '$divide'),
  ...byName(16611, '$mod'),
  ...byName(241, '$toInt', '$toLong', '$toDouble', '$toDecimal', '$toDate', '$toObjectId', '$toString', '$toBool'),
  ...byName(16007, '$strcasecmp'),
  ...byName(34471, '$strLenCP'),
  ...byName(34473, '$strLenBytes'),
  ...byName(40085, '$split'),
  ...byName(17043, '$setUnion'),
  ...byName(17047, '$setIntersection'),
  ...byName(17048, '$setDifference'),
  ...byName(17044, '$setEquals'),
  ...byName(17046, '$setIsSubset'),
  ...byName(40390, '$objectToArray'),
  ...byName(40386, '$arrayToObject'),
  ...byName(
    16006,
    '$year',
    '$month',
    '$week',
    '$dayOfYear',
    '$dayOfMonth',
    '$dayOfWeek',
    '$hour',
    '$minute',
    '$second',
  ),
])

/** Whether what an operator is given are expressions and nothing else; objects have names that each reads its own way. */
export const takesValues = (argument: unknown): boolean =>
  !isPlainObject(argument) || Object.keys(argument)[0]?.startsWith('$') === true

/** Computes an operator's arguments, and has mingo apply the operator to their values. */
export const applied = (operator: string, argument: unknown, compile: (expression: unknown) => Compute): Compute => {
  const apply = mingoOperator(operator)
  const single = Array.isArray(argument) ? undefined : compile(argument)
  const several = Array.isArray(argument) ? (argument as unknown[]).map(compile) : []
  return (doc) => {
    const given = single ? single(doc) : several.map((compute) => compute(doc))
    try {
      return apply(given, single === undefined)
    } catch (error) {
      if (!(error instanceof CommandError) || error.code !== 2) throw error
      throw new CommandError(WRONG_TYPE.get(operator) ?? 2, error.message)
    }
  }
}

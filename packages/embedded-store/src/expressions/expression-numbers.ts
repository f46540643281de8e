import { toNumber, typeName } from '../values/bson.ts'
import { compareValues } from '../values/compare.ts'
import { CommandError, notImplemented } from '../errors.ts'
import { isNothing, nameOf, on, type Operator } from './expression-parts.ts'
import { asDouble, multiply, sum } from '../values/numbers.ts'

const isNumber = (value: unknown): boolean => toNumber(value) !== undefined

/** What an operator takes together: its arguments, or the elements of the one array that it is given. */
const together = (values: unknown[]): unknown[] =>
  values.length === 1 && Array.isArray(values[0]) ? (values[0] as unknown[]) : values

const extreme = (sign: 1 | -1): Operator =>
  on((...values) => {
    const [first, ...others] = together(values).filter((value) => !isNothing(value))
    return others.reduce((best, value) => (compareValues(value, best) * sign > 0 ? value : best), first) ?? null
  })

const total = (numbers: unknown[]): unknown => numbers.reduce(sum, 0)

/** A mean is a double, except of decimals. */
const mean = (numbers: readonly unknown[]): unknown => {
  if (numbers.some((number) => typeName(number) === 'decimal')) throw notImplemented('The mean of Decimal128')
  if (numbers.length === 0) return null
  return asDouble(numbers.reduce((all: number, number) => all + (toNumber(number) ?? 0), 0) / numbers.length)
}

const subtract = on((one, two) => {
  if (isNothing(one) || isNothing(two)) return null
  if (one instanceof Date && two instanceof Date) return one.getTime() - two.getTime()
  if (!isNumber(two) || !(isNumber(one) || one instanceof Date))
    throw new CommandError(14, `can't $subtract ${nameOf(two)} from ${nameOf(one)}`)
  if (one instanceof Date) return new Date(one.getTime() - Math.round(toNumber(two) ?? 0))
  return sum(one, multiply(two, -1))
})

const product = on((...values) => {
  let result: unknown = 1
  for (const value of values) {
    if (isNothing(value)) return null
    if (!isNumber(value)) throw new CommandError(14, `$multiply only supports numeric types, not ${nameOf(value)}`)
    result = multiply(result, value)
  }
  return result
})

/** The operators on numbers, which give what they make the type that MongoDB does. */
export const NUMBER_OPERATORS: Record<string, Operator> = {
  $min: extreme(-1),
  $max: extreme(1),
  $sum: on((...values) => total(together(values).filter(isNumber))),
  $avg: on((...values) => mean(together(values).filter(isNumber))),
  $subtract: subtract,
  $multiply: product,
  $isNumber: on(isNumber),
}

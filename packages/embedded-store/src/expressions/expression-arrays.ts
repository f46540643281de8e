import { toNumber } from '../values/bson.ts'
import { equalValues } from '../values/compare.ts'
import { CommandError } from '../errors.ts'
import { isNothing, nameOf, on, type Operator } from './expression-parts.ts'

const elementAt = (array: unknown, place: number): unknown =>
  Array.isArray(array) ? (array as unknown[]).at(place) : undefined

/** The first or the last element. */
const endOf = (name: string, place: number): Operator =>
  on((array) => {
    if (isNothing(array)) return null
    if (Array.isArray(array)) return elementAt(array, place)
    throw new CommandError(28689, `${name}'s argument must be an array, but is ${nameOf(array)}`)
  })

/** The operators on arrays, whose elements keep their types. */
export const ARRAY_OPERATORS: Record<string, Operator> = {
  $first: endOf('$first', 0),
  $last: endOf('$last', -1),
  $isArray: on(Array.isArray),
  $arrayElemAt: on((array, place) => {
    if (isNothing(array) || isNothing(place)) return null
    if (!Array.isArray(array))
      throw new CommandError(28689, `$arrayElemAt's first argument must be an array, but is ${nameOf(array)}`)
    const number = toNumber(place)
    if (number === undefined)
      throw new CommandError(28690, `$arrayElemAt's second argument must be a numeric value, but is ${nameOf(place)}`)
    if (!Number.isInteger(number))
      throw new CommandError(
        28691,
        `$arrayElemAt's second argument must be representable as a 32-bit integer: ${number}`,
      )
    return elementAt(array, number)
  }),
  $concatArrays: on((...arrays) => {
    const all: unknown[] = []
    for (const array of arrays) {
      if (isNothing(array)) return null
      if (!Array.isArray(array))
        throw new CommandError(28664, `$concatArrays only supports arrays, not ${nameOf(array)}`)
      all.push(...(array as unknown[]))
    }
    return all
  }),
  $reverseArray: on((array) => {
    if (isNothing(array)) return null
    if (Array.isArray(array)) return array.toReversed()
    throw new CommandError(34435, `The argument to $reverseArray must be an array, but was of type: ${nameOf(array)}`)
  }),
  $in: on((value, array) => {
    if (Array.isArray(array)) return array.some((element) => equalValues(element, value))
    throw new CommandError(40081, `$in requires an array as a second argument, found: ${nameOf(array)}`)
  }),
}

import { clone, type Doc, isPlainObject, toNumber, typeName } from '../values/bson.ts'
import { compareValues, equalValues } from '../values/compare.ts'
import { badValue } from '../errors.ts'
import { isFieldOperator, parseFilter } from '../query/matcher.ts'
import { isRegex } from '../query/matcher-operators.ts'
import { type Sort, sortKeyOf } from '../query/sort.ts'
import { arrayAt, checkModifiers, type Operation } from './update-operators.ts'
import { setSlot } from './update-paths.ts'

type Compile = (argument: unknown, path: string) => Operation

const eachOf = (argument: unknown, operator: string): { values: unknown[]; spec: Doc } => {
  if (!isPlainObject(argument) || !Object.hasOwn(argument, '$each')) return { values: [argument], spec: {} }
  const values = argument['$each']
  if (!Array.isArray(values))
    throw badValue(`The argument to $each in ${operator} must be an array but it was of type ${typeName(values)}`)
  return { values: values as unknown[], spec: argument }
}

const integer = (value: unknown, name: string): number | undefined => {
  if (value === undefined) return undefined
  const number = toNumber(value)
  if (number === undefined || !Number.isInteger(number))
    throw badValue(`The value for ${name} must be an integer value but was given type: ${typeName(value)}`)
  return number
}

const sortPattern = (spec: Doc): Sort => {
  const paths = Object.keys(spec)
  if (paths.length === 0) throw badValue('The $sort pattern is empty when it should be a set of fields.')
  const directions = paths.map((path): 1 | -1 => {
    const direction = toNumber(spec[path])
    if (direction !== 1 && direction !== -1) throw badValue('The $sort element value must be either 1 or -1')
    if (path === '') throw badValue('The $sort field cannot be empty')
    if (path.split('.').includes('')) throw badValue(`The $sort field is a dotted field but has an empty part: ${path}`)
    return direction
  })
  return { paths, directions }
}

const sorter = (spec: unknown): ((array: unknown[]) => void) | undefined => {
  if (spec === undefined) return undefined
  const direction = toNumber(spec)
  if (direction === 1 || direction === -1) return (array) => void array.sort((a, b) => direction * compareValues(a, b))
  if (direction !== undefined) throw badValue('The $sort element value must be either 1 or -1')
  if (!isPlainObject(spec))
    throw badValue('The $sort is invalid: use 1/-1 to sort the whole element, or {field:1/-1} to sort embedded fields')
  const keyOf = sortKeyOf(sortPattern(spec))
  const key = (element: unknown): Buffer => keyOf(isPlainObject(element) ? element : {})
  return (array) => void array.sort((a, b) => Buffer.compare(key(a), key(b)))
}

const push: Compile = (argument) => {
  const { values, spec } = eachOf(argument, '$push')
  checkModifiers('$push', spec, ['$each', '$position', '$slice', '$sort'])
  const position = integer(spec['$position'], '$position')
  const slice = integer(spec['$slice'], '$slice')
  const sort = sorter(spec['$sort'])
  return {
    create: true,
    apply: (slot, doc) => {
      const array = arrayAt(slot, doc) ?? []
      const added = values.map(clone)
      array.splice(position ?? array.length, 0, ...added)
      sort?.(array)
      const kept = slice === undefined ? array : slice < 0 ? array.slice(slice) : array.slice(0, slice)
      setSlot(slot, kept)
    },
  }
}

const addToSet: Compile = (argument) => {
  const { values, spec } = eachOf(argument, '$addToSet')
  checkModifiers('$addToSet', spec, ['$each'])
  return {
    create: true,
    apply: (slot, doc) => {
      const array = arrayAt(slot, doc) ?? []
      for (const value of values) if (!array.some((element) => equalValues(element, value))) array.push(clone(value))
      setSlot(slot, array)
    },
  }
}

/** An object is a query of the elements that are objects; operators and a pattern look at each as at a field. */
const pullTest = (argument: unknown): ((element: unknown) => boolean) => {
  const isCondition = isPlainObject(argument) && isFieldOperator(Object.keys(argument)[0])
  if (isCondition || isRegex(argument)) {
    const { test } = parseFilter({ element: argument })
    return (element) => test({ element })
  }
  if (isPlainObject(argument)) {
    const { test } = parseFilter(argument)
    return (element) => isPlainObject(element) && test(element)
  }
  return (element) => equalValues(element, argument)
}

const pulling = (matches: (element: unknown) => boolean): Operation => ({
  create: false,
  apply: (slot, doc) => {
    const array = arrayAt(slot, doc)
    if (array)
      setSlot(
        slot,
        array.filter((element) => !matches(element)),
      )
  },
})

const pullAll: Compile = (argument) => {
  if (!Array.isArray(argument))
    throw badValue(`$pullAll requires an array argument but was given a ${typeName(argument)}`)
  return pulling((element) => argument.some((value) => equalValues(element, value)))
}

export const ARRAY_UPDATES: Record<string, Compile> = {
  $push: push,
  $addToSet: addToSet,
  $pull: (argument) => pulling(pullTest(argument)),
  $pullAll: pullAll,
}

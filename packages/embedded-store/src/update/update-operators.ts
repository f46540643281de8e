import { Timestamp } from 'bson'
import { clone, type Doc, isPlainObject, toNumber, typeName } from '../values/bson.ts'
import { compareValues } from '../values/compare.ts'
import { badValue, CommandError, failedToParse, typeMismatch } from '../errors.ts'
import { add, multiply } from '../values/numbers.ts'
import { MISSING } from '../values/paths.ts'
import { shellText } from '../values/shell-text.ts'
import { getSlot, removeSlot, setSlot, type Slot, type UpdateContext, type Way } from './update-paths.ts'

/** An operator of one path: how its field is looked for, and what is done there. */
export type Operation = Way & { apply: (slot: Slot, doc: Doc, context: UpdateContext) => void }

type Compile = (argument: unknown, path: string) => Operation

const setting = (apply: Operation['apply']): Operation => ({ create: true, apply })

const idText = (doc: Doc): string => `{_id: ${shellText(doc['_id'])}}`

const numeric =
  (
    name: string,
    verb: string,
    combine: (a: unknown, b: unknown) => unknown,
    initial: (argument: unknown) => unknown,
  ): Compile =>
  (argument, path) => {
    if (toNumber(argument) === undefined)
      throw typeMismatch(`Cannot ${verb} with non-numeric argument: {${path}: ${shellText(argument)}}`)
    return setting((slot, doc) => {
      const value = getSlot(slot)
      if (value === MISSING) return setSlot(slot, initial(argument))
      if (toNumber(value) === undefined)
        throw typeMismatch(
          `Cannot apply ${name} to a value of non-numeric type. ${idText(doc)} has the field '${slot.key}' of non-numeric type ${typeName(value)}`,
        )
      setSlot(slot, combine(value, argument))
    })
  }

const extreme =
  (sign: 1 | -1): Compile =>
  (argument) =>
    setting((slot) => {
      const value = getSlot(slot)
      if (value === MISSING || compareValues(argument, value) * sign > 0) setSlot(slot, clone(argument))
    })

const currentDate: Compile = (argument) => {
  const type = isPlainObject(argument)
    ? argument['$type']
    : argument === true || argument === false
      ? 'date'
      : undefined
  if (type !== 'date' && type !== 'timestamp')
    throw badValue(
      `${typeName(argument)} is not valid type for $currentDate. Please use a boolean ('true') or a $type expression ({$type: 'timestamp/date'}).`,
    )
  return setting((slot, _, { now }) =>
    setSlot(slot, type === 'date' ? new Date(now) : new Timestamp({ t: Math.floor(now.getTime() / 1000), i: 1 })),
  )
}

/** The array that an operator works on, undefined where there is none; throws where there is something else. */
export const arrayAt = (slot: Slot, doc: Doc): unknown[] | undefined => {
  const value = getSlot(slot)
  if (value === MISSING) return undefined
  if (!Array.isArray(value))
    throw badValue(
      `The field '${slot.path}' must be an array but is of type ${typeName(value)} in document ${idText(doc)}`,
    )
  return value as unknown[]
}

const pop: Compile = (argument, path) => {
  const end = toNumber(argument)
  if (end !== 1 && end !== -1) throw failedToParse(`$pop expects 1 or -1, found: {${path}: ${shellText(argument)}}`)
  return {
    create: false,
    apply: (slot) => {
      const value = getSlot(slot)
      if (value === MISSING) return
      if (!Array.isArray(value))
        throw typeMismatch(`Path '${slot.path}' contains an element of non-array type '${typeName(value)}'`)
      if (end === 1) value.pop()
      else value.shift()
    },
  }
}

export const FIELD_UPDATES: Record<string, Compile> = {
  $set: (argument) => setting((slot) => setSlot(slot, clone(argument))),
  $setOnInsert: (argument) => ({
    create: true,
    apply: (slot) => setSlot(slot, clone(argument)),
  }),
  $unset: () => ({ create: false, lenient: true, apply: removeSlot }),
  $inc: numeric('$inc', 'increment', add, clone),
  $mul: numeric('$mul', 'multiply', multiply, (argument) => multiply(argument, 0)),
  $min: extreme(-1),
  $max: extreme(1),
  $currentDate: currentDate,
  $pop: pop,
}

/** Refuses modifiers that an operator does not have. */
export const checkModifiers = (operator: string, spec: Doc, known: readonly string[]): void => {
  for (const key of Object.keys(spec))
    if (!known.includes(key)) throw new CommandError(2, `Unrecognized clause in ${operator}: ${key}`)
}

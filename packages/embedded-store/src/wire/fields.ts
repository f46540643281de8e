import { type Doc, isPlainObject, toNumber, typeName } from '../values/bson.ts'
import { badValue, CommandError, missingField, wrongType } from '../errors.ts'

/** Refuses a part of a command without these fields; `where` is how messages call the part, as `delete.deletes`. */
export const checkRequired = (where: string, part: Doc, fields: readonly string[]): void => {
  for (const field of fields) if (part[field] === undefined) throw missingField(`${where}.${field}`)
}

/** Refuses what is no document; `field` is how messages call it, as `delete.deletes.q`. */
export const checkObject = (field: string, value: unknown): void => {
  if (!isPlainObject(value)) throw wrongType(field, typeName(value), "type 'object'")
}

/** A non-negative number of any type; the fraction is cut off. */
export const naturalNumber = (body: Doc, field: string): number | undefined => {
  const value = body[field]
  if (value === undefined || value === null) return undefined
  const number = toNumber(value)
  if (number === undefined) throw wrongType(field, typeName(value), "types '[long, int, decimal, double]'")
  if (number < 0) throw new CommandError(51024, `BSON field '${field}' value must be >= 0, actual value '${number}'`)
  return Math.trunc(number)
}

/** Time limit of a command in milliseconds, if given. */
export const timeLimit = ({ maxTimeMS: wanted }: Doc): number | undefined => {
  if (wanted === undefined || wanted === null) return undefined
  const number = toNumber(wanted)
  if (number === undefined) throw badValue('maxTimeMS must be a number')
  if (!Number.isInteger(number) || number < 0) throw badValue(`${number} value for maxTimeMS is out of range`)
  return number
}

/** A flag: true, false, or a number. */
export const flag = (body: Doc, field: string): boolean => {
  const value = body[field]
  if (value === undefined || value === null) return false
  if (typeof value === 'boolean') return value
  const number = toNumber(value)
  if (number === undefined) throw wrongType(field, typeName(value), "types '[bool, long, int, decimal, double]'")
  return number !== 0
}

/** A flag that may only be true or false; `missing` is what it is where nobody says it. */
export const strictFlag = (body: Doc, field: string, missing: boolean): boolean => {
  const value = body[field]
  if (value === undefined) return missing
  if (typeof value === 'boolean') return value
  throw wrongType(field, typeName(value), "type 'bool'")
}

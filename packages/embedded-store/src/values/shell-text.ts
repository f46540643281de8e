import type { Binary, Long, ObjectId } from 'bson'
import { bsonType, isPlainObject } from './bson.ts'

const WRAPPED: Record<string, (value: object) => string> = {
  ObjectId: (value) => `ObjectId('${(value as ObjectId).toHexString()}')`,
  Binary: (value) => `BinData(${(value as Binary).sub_type}, ${(value as Binary).toString('hex').toUpperCase()})`,
  Long: (value) => String(value as Long),
  MinKey: () => 'MinKey',
  MaxKey: () => 'MaxKey',
}

/** A value as MongoDB's messages show it, as in `{ name: "web1" }`. */
export const shellText = (value: unknown): string => {
  if (typeof value === 'string') return JSON.stringify(value)
  if (value instanceof Date) return `new Date(${value.getTime()})`
  if (Array.isArray(value)) return value.length === 0 ? '[]' : `[ ${value.map(shellText).join(', ')} ]`
  if (isPlainObject(value)) {
    const fields = Object.entries(value).map(([key, field]) => `${key}: ${shellText(field)}`)
    return fields.length === 0 ? '{}' : `{ ${fields.join(', ')} }`
  }
  const type = bsonType(value)
  return type !== undefined && WRAPPED[type] ? WRAPPED[type](value as object) : String(value)
}

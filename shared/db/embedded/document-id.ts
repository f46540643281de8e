import { bsonType, isPlainObject, typeName } from './bson.ts'
import { CommandError } from './errors.ts'

/** Refuses an `_id` that MongoDB refuses. */
export const checkId = (id: unknown): void => {
  if (Array.isArray(id) || id === undefined || bsonType(id) === 'BSONRegExp')
    throw new CommandError(53, `The '_id' value cannot be of type ${typeName(id)}`)
  const dollar = isPlainObject(id) ? Object.keys(id).find((key) => key.startsWith('$')) : undefined
  if (dollar !== undefined)
    throw new CommandError(52, `_id fields may not contain '$'-prefixed fields: ${dollar} is not valid for storage.`)
}

import { bsonType, type Doc, encode, isPlainObject, typeName } from '../values/bson.ts'
import { CommandError } from '../errors.ts'

/** The fields of a DBRef, which alone may begin with a dollar. */
const REFERENCE = ['$ref', '$id', '$db']

/** Refuses an `_id` that MongoDB refuses; `whole` says that an upsert puts it in with a document as a whole. */
export const checkId = (id: unknown, whole = false): void => {
  if (whole && Array.isArray(id))
    throw new CommandError(
      54,
      "After applying the update to the document, the (immutable) field '_id' was found to be an array or array descendant.",
    )
  if (Array.isArray(id) || id === undefined || bsonType(id) === 'BSONRegExp')
    throw new CommandError(53, `The '_id' value cannot be of type ${typeName(id)}`)
  const dollar = isPlainObject(id)
    ? Object.keys(id).find((key) => key.startsWith('$') && !REFERENCE.includes(key))
    : undefined
  if (dollar !== undefined)
    throw new CommandError(52, `_id fields may not contain '$'-prefixed fields: ${dollar} is not valid for storage.`)
}

/** An operator may not even change the type of the `_id`. @throws CommandError 66 */
export const checkUnchangedId = (before: Doc, after: Doc): void => {
  const [old, now] = [before, after].map(({ _id }) => encode({ _id }))
  if (now && !old?.equals(now))
    throw new CommandError(66, "Performing an update on the path '_id' would modify the immutable field '_id'")
}

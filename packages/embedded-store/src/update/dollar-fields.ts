import type { Doc } from '../values/bson.ts'
import { CommandError } from '../errors.ts'

const invalidReference = (message: string): CommandError => new CommandError(55, message)

/** A DBRef is the one use of such names: `$ref`, `$id` and perhaps `$db`, in this order. */
const checkReference = (doc: Doc, key: string): void => {
  const keys = Object.keys(doc)
  const before = keys[keys.indexOf(key) - 1]
  if (key === '$db' && before !== '$id')
    throw invalidReference('Found $db field without a $id before it, which is invalid.')
  if (key === '$id' && before !== '$ref')
    throw invalidReference('Found $id field without a $ref before it, which is invalid.')
  if (key !== '$id' && typeof doc[key] !== 'string') throw invalidReference(`The DBRef ${key} field must be a String`)
  if (key === '$ref' && keys[keys.indexOf(key) + 1] !== '$id')
    throw invalidReference('The DBRef $ref field must be followed by a $id field')
}

/**
 * Refuses a field of a document whose name begins with a dollar. Deeper fields may have such names, and inserted documents.
 * @throws CommandError 52, or 55 for a DBRef that is not whole
 */
export const checkDollarField = (doc: Doc, key: string): void => {
  if (!key.startsWith('$')) return
  if (['$ref', '$id', '$db'].includes(key)) return checkReference(doc, key)
  throw new CommandError(
    52,
    `The dollar ($) prefixed field '${key}' in '${key}' is not allowed in the context of an update's replacement document. Consider using an aggregation pipeline with $replaceWith.`,
  )
}

import type { Doc } from '../values/bson.ts'
import { isPlainObject, toNumber } from '../values/bson.ts'
import type { Index } from '../storage/catalog.ts'
import { badValue, CommandError, notImplemented } from '../errors.ts'
import { fieldPath } from '../values/field-path.ts'
import { indexKeys } from '../index/index-keys.ts'
import { shellText } from '../values/shell-text.ts'

export type Sort = { paths: string[]; directions: (1 | -1)[] }

const directionOf = (path: string, wanted: unknown): 1 | -1 => {
  if (isPlainObject(wanted) && Object.hasOwn(wanted, '$meta')) throw notImplemented('Sorting by $meta')
  if (isPlainObject(wanted)) throw new CommandError(17312, '$meta is the only expression supported by $sort right now')
  const number = toNumber(wanted)
  if (number === undefined)
    throw new CommandError(15974, `Illegal key in $sort specification: ${path}: ${shellText(wanted)}`)
  const direction = Math.trunc(number)
  if (direction !== 1 && direction !== -1)
    throw new CommandError(15975, '$sort key ordering must be 1 (for ascending) or -1 (for descending)')
  return direction
}

/** Parses a sort; an empty one is undefined, `$natural` is refused where an order of fields is wanted. */
export const parseSort = (sort: unknown): Sort | undefined => {
  if (sort === undefined || sort === null) return undefined
  if (!isPlainObject(sort)) throw new CommandError(14, 'Expected field sort to be of type object')
  const paths = Object.keys(sort)
  if (paths.length === 0) return undefined
  if (paths.length > 32) throw new CommandError(13103, 'too many compound keys')
  const directions = paths.map((path) => {
    fieldPath(path)
    return directionOf(path, sort[path])
  })
  return { paths, directions }
}

/** Makes the bytes by which documents are sorted: the first of the keys that an index of the same fields would have. */
export const sortKeyOf = ({ paths, directions }: Sort): ((doc: Doc) => Buffer) => {
  const index: Index = {
    id: 0,
    name: '',
    spec: {},
    paths,
    directions,
    unique: false,
    sparse: false,
    partial: undefined,
    multikey: true,
  }
  return (doc) => {
    try {
      const { keys } = indexKeys(index, doc)
      return keys.reduce((first, key) => (Buffer.compare(key, first) < 0 ? key : first))
    } catch (error) {
      if (error instanceof CommandError && error.code === 171)
        throw badValue('cannot sort with keys that are parallel arrays')
      throw error
    }
  }
}

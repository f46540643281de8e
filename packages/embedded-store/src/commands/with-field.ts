import { type Doc, isPlainObject, setField } from '../values/bson.ts'

/** A copy of a document with the field that a path names set. */
export const withField = (doc: Doc, path: string, value: unknown): Doc => {
  const [name = '', ...rest] = path.split('.')
  const inner = doc[name]
  const copy = { ...doc }
  setField(copy, name, rest.length === 0 ? value : withField(isPlainObject(inner) ? inner : {}, rest.join('.'), value))
  return copy
}

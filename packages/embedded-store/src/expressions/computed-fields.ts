import { type Doc, isPlainObject } from '../values/bson.ts'
import { CommandError } from '../errors.ts'
import { evaluateTyped } from './expressions.ts'
import { fieldPath } from '../values/field-path.ts'
import { applyTree, collisionAt, emptyTree, plant, type Tree } from '../query/projection-tree.ts'
import { shellText } from '../values/shell-text.ts'

/** An object that is no expression stands for the paths in it: `{a: {b: 1}}` is `{'a.b': 1}`. */
const isNested = (value: unknown): value is Doc => {
  const keys = isPlainObject(value) ? Object.keys(value) : []
  if (keys.length > 1 && keys.some((key) => key.startsWith('$')))
    throw new CommandError(
      40181,
      `an expression specification must contain exactly one field, the name of the expression. Found ${keys.length} fields in ${shellText(value)}`,
    )
  return keys[0] !== undefined && !keys[0].startsWith('$')
}

const addField = (tree: Tree, parts: readonly string[], value: unknown): void => {
  if (isNested(value)) {
    for (const [name, inner] of Object.entries(value)) {
      if (name.includes('.')) throw new CommandError(40183, `cannot use dotted field name '${name}' in a sub object`)
      addField(tree, [...parts, ...fieldPath(name)], inner)
    }
    return
  }
  const compute = evaluateTyped(value)
  if (collisionAt(tree, parts) !== undefined)
    throw new CommandError(40176, `specification contains two conflicting paths. Cannot specify '${parts.join('.')}'`)
  plant(tree, parts, { compute })
}

/** Compiles the fields of `$set` and `$addFields`. */
export const parseComputedFields = (spec: Doc): ((doc: Doc) => Doc) => {
  const tree = emptyTree()
  for (const [path, value] of Object.entries(spec)) addField(tree, fieldPath(path), value)
  return (doc) => applyTree(tree, doc, { including: false, context: {} })
}

import { type Doc, isPlainObject, setField, toNumber, typeName } from '../values/bson.ts'
import { CommandError, notImplemented } from '../errors.ts'
import { fieldPath } from '../values/field-path.ts'

/** Makes the projected document of another. */
export type Project = (doc: Doc) => Doc

/** The paths of a projection; `true` ends one. */
type Tree = Map<string, Tree | true>

const asFlag = (value: unknown): boolean | undefined => {
  if (typeof value === 'boolean') return value
  const number = toNumber(value)
  return number === undefined ? undefined : number !== 0
}

/** Adds a path. @throws CommandError 31249 or 31250 where one is within another */
const plant = (tree: Tree, parts: readonly string[]): void => {
  let node = tree
  for (const [depth, part] of parts.entries()) {
    const known = node.get(part)
    const isLast = depth === parts.length - 1
    if (known !== undefined && (isLast || known === true))
      throw known !== true || isLast
        ? new CommandError(31250, `Path collision at ${parts.join('.')}`)
        : new CommandError(
            31249,
            `Path collision at ${parts.join('.')} remaining portion ${parts.slice(depth + 1).join('.')}`,
          )
    if (isLast) node.set(part, true)
    else {
      const next: Tree = known instanceof Map ? known : new Map()
      node.set(part, next)
      node = next
    }
  }
}

/** State of parsing a projection; `including` and `id` are undefined until a field decides them. */
type Parsing = { tree: Tree; including: boolean | undefined; id: boolean | undefined }

const addFlag = (parsing: Parsing, parts: readonly string[], flag: boolean): void => {
  plant(parsing.tree, parts)
  // the _id may be excluded among included fields and the other way round
  if (parts.length === 1 && parts[0] === '_id') parsing.id = flag
  else if (parsing.including === undefined) parsing.including = flag
  else if (parsing.including !== flag)
    throw flag
      ? new CommandError(31253, `Cannot do inclusion on field ${parts.join('.')} in exclusion projection`)
      : new CommandError(31254, `Cannot do exclusion on field ${parts.join('.')} in inclusion projection`)
}

const addField = (parsing: Parsing, above: readonly string[], name: string, value: unknown): void => {
  if (name.endsWith('.$') || name.includes('.$.')) throw notImplemented('A positional projection')
  if (above.length > 0 && name.startsWith('$')) throw notImplemented(`The expression ${name} in a projection`)
  const parts = [...above, ...fieldPath(name)]
  const flag = asFlag(value)
  if (flag !== undefined) return addFlag(parsing, parts, flag)
  if (!isPlainObject(value)) throw notImplemented(`A computed field ('${parts.join('.')}') in a projection`)
  const fields = Object.entries(value)
  if (fields.length === 0)
    throw new CommandError(51270, 'An empty sub-projection is not a valid value. Found empty object at path')
  for (const [field, inner] of fields) addField(parsing, parts, field, inner)
}

const NOTHING = Symbol('nothing')

const projected = (value: unknown, tree: Tree, including: boolean): unknown => {
  if (Array.isArray(value))
    return value.map((element) => projected(element, tree, including)).filter((kept) => kept !== NOTHING)
  if (isPlainObject(value)) return projectedFields(value, tree, including)
  return including ? NOTHING : value
}

const projectedFields = (doc: Doc, tree: Tree, including: boolean): Doc => {
  const result: Doc = {}
  for (const key of Object.keys(doc)) {
    const node = tree.get(key)
    if (node === undefined ? including : node === true && !including) continue
    const value = node instanceof Map ? projected(doc[key], node, including) : doc[key]
    if (value !== NOTHING) setField(result, key, value)
  }
  return result
}

const parse = (spec: Doc): Project => {
  const parsing: Parsing = { tree: new Map(), including: undefined, id: undefined }
  for (const [name, value] of Object.entries(spec)) addField(parsing, [], name, value)
  const { tree, id, including = id ?? false } = parsing
  // the tree names what is kept, or what is left out: the _id by its own flag
  const isNamed = tree.get('_id') instanceof Map || (including ? (id ?? true) : id === false)
  if (!isNamed) tree.delete('_id')
  else if (!tree.has('_id')) tree.set('_id', true)
  return (doc) => projectedFields(doc, tree, including)
}

/** Parses the projection of a find; undefined when there is nothing to project. */
export const parseProjection = (spec: unknown): Project | undefined => {
  if (spec === undefined || spec === null) return undefined
  if (!isPlainObject(spec))
    throw new CommandError(14, `Expected field projection to be of type object, but it is ${typeName(spec)}`)
  return Object.keys(spec).length === 0 ? undefined : parse(spec)
}

/** Parses the stage `$project`. */
export const parseProjectStage = (spec: unknown): Project => {
  if (!isPlainObject(spec)) throw new CommandError(15969, '$project specification must be an object')
  if (Object.keys(spec).length === 0)
    throw new CommandError(51272, 'projection specification must have at least one field')
  return parse(spec)
}

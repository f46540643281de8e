import { type Doc, isPlainObject, setField, toNumber } from './bson.ts'
import { CommandError, notImplemented } from './errors.ts'
import { evaluate } from './expressions.ts'
import { parseFilter } from './matcher.ts'
import type { MatchContext } from './paths.ts'

/** A projection as a tree of its paths. */
type Leaf = { keep: boolean } | { compute: (doc: Doc, value: unknown, context: MatchContext) => unknown }
type Tree = { [part: string]: Tree | Leaf }

export type Project = (doc: Doc, context: MatchContext) => Doc

const isLeaf = (node: Tree | Leaf): node is Leaf =>
  typeof (node as { keep?: unknown }).keep === 'boolean' ||
  typeof (node as { compute?: unknown }).compute === 'function'

const asFlag = (value: unknown): boolean | undefined => {
  if (typeof value === 'boolean') return value
  const number = toNumber(value)
  return number === undefined ? undefined : number !== 0
}

const slice = (argument: unknown): ((value: unknown) => unknown) => {
  const list = (Array.isArray(argument) ? (argument as unknown[]) : [argument]).map(toNumber)
  const [first, second] = list
  if (first === undefined || list.length > 2 || (list.length === 2 && (second === undefined || second <= 0)))
    throw new CommandError(2, 'Invalid $slice syntax: needs a number, or an array of skip and a positive limit')
  return (value) => {
    if (!Array.isArray(value)) return value
    if (second === undefined) return first < 0 ? value.slice(first) : value.slice(0, first)
    const start = first < 0 ? Math.max(value.length + first, 0) : first
    return value.slice(start, start + second)
  }
}

const elemMatch = (argument: unknown): ((value: unknown) => unknown) => {
  const { test } = parseFilter({ value: { $elemMatch: argument } })
  return (value) => {
    if (!Array.isArray(value)) return undefined
    const found = value.findIndex((element) => test({ value: [element] }))
    return found < 0 ? undefined : [value[found]]
  }
}

const computed = (path: string, value: unknown): Leaf => {
  if (isPlainObject(value)) {
    const operator = Object.keys(value)[0]
    if (operator === '$meta') throw notImplemented('$meta')
    if (operator === '$slice') {
      const cut = slice(value['$slice'])
      return { compute: (_, found) => cut(found) }
    }
    if (operator === '$elemMatch') {
      if (path.includes('.')) throw new CommandError(31255, 'Cannot use $elemMatch projection on a nested field')
      const find = elemMatch(value['$elemMatch'])
      return { compute: (_, found) => find(found) }
    }
  }
  const compute = evaluate(value)
  return { compute: (doc) => compute(doc) }
}

const positional: Leaf = {
  compute: (_, value, { arrayIndex }) => {
    if (!Array.isArray(value)) return value
    if (arrayIndex === undefined)
      throw new CommandError(
        51246,
        "Executor error during find command :: caused by :: positional operator '.$' couldn't find a matching element in the array",
      )
    return arrayIndex < value.length ? [value[arrayIndex]] : []
  },
}

const plant = (tree: Tree, path: string, leaf: Leaf): void => {
  const parts = path.split('.')
  if (parts.includes('')) throw new CommandError(2, `FieldPath must not have an empty part: '${path}'`)
  const last = parts.pop() as string
  let node = tree
  for (const part of parts) {
    const next = Object.hasOwn(node, part) ? node[part] : undefined
    if (next !== undefined && isLeaf(next)) throw new CommandError(31249, `Path collision at ${path}`)
    if (next === undefined) setField(node, part, Object.create(null))
    node = node[part] as Tree
  }
  if (Object.hasOwn(node, last)) throw new CommandError(31249, `Path collision at ${path}`)
  setField(node, last, leaf)
}

type Parsed = { tree: Tree; including: boolean; id: boolean | undefined }

/** Nested objects that are no expressions are paths: `{a: {b: 1}}` is `{'a.b': 1}`. */
const flatten = (spec: Doc, prefix: string): [string, unknown][] =>
  Object.entries(spec).flatMap(([key, value]): [string, unknown][] => {
    const nested = isPlainObject(value) && Object.keys(value).length > 0 && !Object.keys(value)[0]?.startsWith('$')
    return nested ? flatten(value, `${prefix}${key}.`) : [[`${prefix}${key}`, value]]
  })

const leafOf = (path: string, value: unknown): { path: string; leaf: Leaf; mode: boolean | undefined } => {
  const flag = asFlag(value)
  if (path.endsWith('.$')) return { path: path.slice(0, -2), leaf: positional, mode: true }
  if (flag !== undefined) return { path, leaf: { keep: flag }, mode: flag }
  return { path, leaf: computed(path, value), mode: hasSlice(value) ? undefined : true }
}

const hasSlice = (value: unknown): boolean => isPlainObject(value) && Object.hasOwn(value, '$slice')

const parse = (spec: Doc): Parsed => {
  const tree: Tree = Object.create(null) as Tree
  let mode: boolean | undefined
  let id: boolean | undefined
  for (const [key, value] of flatten(spec, '')) {
    if (key === '_id' && asFlag(value) !== undefined) {
      id = asFlag(value)
      continue
    }
    if (key.startsWith('$')) throw new CommandError(2, `FieldPath field names may not start with '$': ${key}`)
    const { path, leaf, mode: wanted } = leafOf(key, value)
    if (wanted !== undefined && mode !== undefined && mode !== wanted)
      throw wanted
        ? new CommandError(31253, `Cannot do inclusion on field ${path} in exclusion projection`)
        : new CommandError(31254, `Cannot do exclusion on field ${path} in inclusion projection`)
    mode ??= wanted
    plant(tree, path, leaf)
  }
  return { tree, including: mode ?? id ?? false, id }
}

type Walk = { including: boolean; root: Doc; context: MatchContext }

const projectValue = (value: unknown, node: Tree | Leaf, walk: Walk): unknown => {
  if (isLeaf(node)) {
    if ('keep' in node) return node.keep ? value : undefined
    return node.compute(walk.root, value, walk.context)
  }
  if (Array.isArray(value)) {
    const projected = value.map((element) => projectValue(element, node, walk))
    return walk.including ? projected.filter((element) => element !== undefined) : projected
  }
  if (isPlainObject(value)) return projectFields(value, node, walk)
  return walk.including ? undefined : value
}

const projectFields = (doc: Doc, tree: Tree, walk: Walk): Doc => {
  const result: Doc = {}
  for (const key of Object.keys(doc)) {
    const node = Object.hasOwn(tree, key) ? tree[key] : undefined
    if (node === undefined) {
      if (!walk.including) setField(result, key, doc[key])
      continue
    }
    const value = projectValue(doc[key], node, walk)
    if (value !== undefined || (isLeaf(node) && 'keep' in node && node.keep)) setField(result, key, value)
  }
  addComputed(result, doc, tree, walk)
  return result
}

/** Computed fields that the document does not have come last, in the order of the projection. */
const addComputed = (result: Doc, doc: Doc, tree: Tree, walk: Walk): void => {
  for (const key of Object.keys(tree)) {
    if (Object.hasOwn(doc, key)) continue
    const node = tree[key] as Tree | Leaf
    if (isLeaf(node)) {
      const value = 'compute' in node ? node.compute(walk.root, undefined, walk.context) : undefined
      if (value !== undefined) setField(result, key, value)
    } else {
      const nested = projectFields({}, node, walk)
      if (Object.keys(nested).length > 0) setField(result, key, nested)
    }
  }
}

/** Parses a projection; undefined when there is nothing to project. Used for `find` and for `$project`. */
export const parseProjection = (spec: unknown): Project | undefined => {
  if (spec === undefined || spec === null) return undefined
  if (!isPlainObject(spec)) throw new CommandError(14, 'Expected field projection to be of type object')
  if (Object.keys(spec).length === 0) return undefined
  const { tree, including, id } = parse(spec)
  if (!Object.hasOwn(tree, '_id')) setField(tree, '_id', { keep: id ?? true })
  return (doc, context) => projectFields(doc, tree, { including, root: doc, context })
}

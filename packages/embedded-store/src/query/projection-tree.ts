import { type Doc, isPlainObject, setField } from '../values/bson.ts'
import { MISSING, type MatchContext, ownValue } from '../values/paths.ts'

/** The end of a path: what stays of the value there, or what is computed in its place. */
export type Leaf = { keep: (value: unknown, context: MatchContext) => unknown } | { compute: (root: Doc) => unknown }

/** The paths of a projection or of computed fields; `computes` says whether a leaf below computes something. */
export type Tree = { children: Map<string, Tree | Leaf>; computes: boolean }

export const emptyTree = (): Tree => ({ children: new Map(), computes: false })

const isTree = (node: Tree | Leaf): node is Tree => 'children' in node

/** How many parts of a path another one in the tree already ends or goes on with; undefined when it is free. */
export const collisionAt = (tree: Tree, parts: readonly string[]): number | undefined => {
  let node = tree
  for (const [depth, part] of parts.entries()) {
    const next = node.children.get(part)
    if (next === undefined) return undefined
    if (!isTree(next)) return depth + 1
    node = next
  }
  return parts.length
}

/** Puts a leaf at a path that is free. */
export const plant = (tree: Tree, parts: readonly string[], leaf: Leaf): void => {
  let node = tree
  for (const [depth, part] of parts.entries()) {
    if ('compute' in leaf) node.computes = true
    if (depth === parts.length - 1) {
      node.children.set(part, leaf)
      return
    }
    const known = node.children.get(part)
    const next = known && isTree(known) ? known : emptyTree()
    node.children.set(part, next)
    node = next
  }
}

/** `including` says that fields which the tree does not name go. */
type Walk = { including: boolean; context: MatchContext }

const kept = (value: unknown, node: Tree | Leaf | undefined, walk: Walk): unknown => {
  if (node === undefined || 'compute' in node) return walk.including ? MISSING : value
  return isTree(node) ? keptWithin(value, node, walk) : node.keep(value, walk.context)
}

const keptWithin = (value: unknown, tree: Tree, walk: Walk): unknown => {
  if (isPlainObject(value)) return keptFields(value, tree, walk)
  if (Array.isArray(value))
    return (value as unknown[]).map((element) => keptWithin(element, tree, walk)).filter((kept) => kept !== MISSING)
  // in the place of a value that is no object comes one with the computed fields
  return walk.including && !tree.computes ? MISSING : value
}

const keptFields = (doc: Doc, tree: Tree, walk: Walk): Doc => {
  const result: Doc = {}
  for (const key of Object.keys(doc)) {
    const value = kept(doc[key], tree.children.get(key), walk)
    if (value !== MISSING) setField(result, key, value)
  }
  return result
}

/** Computed fields make the objects on their way: of what is missing or no object, and of each element of an array. */
const withComputed = (value: unknown, tree: Tree, root: Doc): unknown => {
  if (Array.isArray(value)) return (value as unknown[]).map((element) => withComputed(element, tree, root))
  const doc = isPlainObject(value) ? value : {}
  addComputed(doc, tree, root)
  return doc
}

const addComputed = (doc: Doc, tree: Tree, root: Doc): void => {
  for (const [key, node] of tree.children) {
    if (isTree(node)) {
      if (node.computes) setField(doc, key, withComputed(ownValue(doc, key), node, root))
    } else if ('compute' in node) {
      const value = node.compute(root)
      if (value === undefined) delete doc[key]
      else setField(doc, key, value)
    }
  }
}

/** The document that a tree makes of another: first what stays of it, then what is computed from all of it. */
export const applyTree = (tree: Tree, doc: Doc, walk: Walk): Doc => {
  const result = keptFields(doc, tree, walk)
  // keptFields has copied all objects and arrays on the tree's paths, so these may be changed
  addComputed(result, tree, doc)
  return result
}

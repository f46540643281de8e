import type { Right } from '#shared/access/access.ts'
import { type Privilege, privileges } from '#shared/access/privileges.ts'
import { parsePattern } from '../policy/patterns.ts'

/** Rights as a trie with privileges as bit sets. */
type Node = { exact: number; one: number; any: number; next: Map<string, Node> }
/**
 * Paths as a trie; the paths at and below a node have the numbers `from` to before `to`. A flat tree has only one level
 * below its root.
 */
export type PathTree = { next: Map<string, PathTree>; at: number; from: number; to: number; isFlat: boolean }

const bits = new Map(privileges.map((privilege, i) => [privilege, 1 << i]))
const maskOf = (list: readonly Privilege[]) => list.reduce((mask, privilege) => mask | bits.get(privilege)!, 0)
export const privilegesOf = (mask: number) => privileges.filter((_, i) => mask & (1 << i))

export function trieOf(rights: readonly Right[]): Node {
  const root: Node = { exact: 0, one: 0, any: 0, next: new Map() }
  for (const { path, privileges } of rights) {
    const { parts, reach } = parsePattern(path)
    let node = root
    for (const part of parts) {
      let next = node.next.get(part)
      if (!next) node.next.set(part, (next = { exact: 0, one: 0, any: 0, next: new Map() }))
      node = next
    }
    node[reach] |= maskOf(privileges)
  }
  return root
}

const emptyTree = (): PathTree => ({ next: new Map(), at: -1, from: 0, to: 0, isFlat: true })

/** Builds the trie. @returns the tree, and the given paths in its order */
export function treeOf(paths: readonly string[][]): { tree: PathTree; order: number[] } {
  const tree: PathTree = emptyTree()
  const given = new Map<PathTree, number>()
  paths.forEach((parts, i) => {
    let node = tree
    for (const part of parts) {
      let next = node.next.get(part)
      if (!next) node.next.set(part, (next = emptyTree()))
      node = next
    }
    if (!given.has(node)) given.set(node, i)
  })
  const order: number[] = []
  const number = (node: PathTree) => {
    node.from = order.length
    if (given.has(node)) {
      node.at = order.length
      order.push(given.get(node)!)
    }
    for (const next of node.next.values()) number(next)
    node.to = order.length
    node.isFlat = [...node.next.values()].every(({ next }) => next.size === 0)
  }
  number(tree)
  return { tree, order }
}

/** Callback for each run of paths (in the order of the tree) with the same gained and lost privileges. */
export type OnDifference = (from: number, to: number, gains: number, loses: number) => void

/**
 * Compares two sets of rights on the paths of a tree. Descends only where one of them has an entry; elsewhere a whole
 * subtree is the same and is reported as one run.
 */
export function compare(before: Node, after: Node, tree: PathTree, tell: OnDifference): void {
  visit(tree, { node: before, any: 0, one: 0 }, { node: after, any: 0, one: 0 }, tell)
}

type Side = {
  node: Node
  /** Inherited from above, any depth. */ any: number
  /** Inherited from the parent, one level. */ one: number
}

const silent: Node = { exact: 0, one: 0, any: 0, next: new Map() }

function visit(tree: PathTree, a: Side, b: Side, tell: OnDifference): void {
  const [anyA, anyB] = [a.any | a.node.any, b.any | b.node.any]
  const [directA, directB] = [anyA | a.node.one, anyB | b.node.one]
  if (tree.at >= 0) differ(tree.at, tree.at + 1, directA | a.one | a.node.exact, directB | b.one | b.node.exact, tell)
  if (a.node === silent && b.node === silent) {
    const start = tree.at >= 0 ? tree.at + 1 : tree.from
    if (start < tree.to) differ(start, tree.to, anyA, anyB, tell)
    return
  }
  const go = (part: string, next: PathTree) =>
    visit(
      next,
      { node: a.node.next.get(part) ?? silent, any: anyA, one: a.node.one },
      { node: b.node.next.get(part) ?? silent, any: anyB, one: b.node.one },
      tell,
    )
  const named = namedIn(tree, a.node, b.node)
  for (const [part, next] of named) go(part, next)
  if (anyA === anyB && directA === directB) return
  // Children without an entry have the same difference, but deeper paths may differ from direct ones.
  const isAlike = tree.isFlat || isSameChange([directA, directB], [anyA, anyB])
  if (isAlike) tellBetween(tree, named, (from, to) => differ(from, to, directA, directB, tell))
  else for (const [part, next] of tree.next) if (!isNamed(part, a.node, b.node)) go(part, next)
}

type Change = [before: number, after: number]
function isSameChange(one: Change, other: Change) {
  return gained(...one) === gained(...other) && lost(...one) === lost(...other)
}

const isNamed = (part: string, a: Node, b: Node) => a.next.has(part) || b.next.has(part)

/** The children of a tree for which one of the sides has an entry, in the order of the tree. */
function namedIn(tree: PathTree, a: Node, b: Node): [string, PathTree][] {
  const size = a.next.size + b.next.size
  if (size === 0) return []
  if (size > tree.next.size) return [...tree.next].filter(([part]) => isNamed(part, a, b))
  const parts = new Set([...a.next.keys(), ...b.next.keys()])
  const found = [...parts].flatMap((part): [string, PathTree][] => {
    const next = tree.next.get(part)
    return next ? [[part, next]] : []
  })
  return found.toSorted(([, one], [, other]) => one.from - other.from)
}

/** Reports the runs below a tree between the children with entries. */
function tellBetween(tree: PathTree, named: [string, PathTree][], tell: (from: number, to: number) => void): void {
  let from = tree.at >= 0 ? tree.at + 1 : tree.from
  for (const [, next] of named) {
    if (next.from > from) tell(from, next.from)
    from = next.to
  }
  if (tree.to > from) tell(from, tree.to)
}

const gained = (before: number, after: number) => after & ~before
const lost = (before: number, after: number) => before & ~after

function differ(from: number, to: number, before: number, after: number, tell: OnDifference): void {
  if (before !== after) tell(from, to, gained(before, after), lost(before, after))
}

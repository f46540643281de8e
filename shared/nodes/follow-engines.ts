import { setTimeout as delay } from 'node:timers/promises'
import { log } from '#shared/runtime/log.ts'
import type { Engine } from './engine.ts'
import { forget, type Reached, reachAll } from './nodes.ts'

const findNodesEveryMs = 2000
/** The services of one process share an answer that is younger. */
const sharedForMs = 1500
let shared: { nodes: Promise<Reached[]>; at: number } | undefined

/** All nodes, from an answer of at most {@link sharedForMs} ago. */
function recentNodes(): Promise<Reached[]> {
  if (shared && performance.now() - shared.at < sharedForMs) return shared.nodes
  const nodes = reachAll()
  shared = { nodes, at: performance.now() }
  nodes.catch(() => (shared = undefined))
  return nodes
}

/** The drivers of a service by name, and the work with an engine of a node. */
export type Following<Name extends string> = {
  /** Part of the log. */
  part: string
  names: readonly Name[]
  engineOf: (name: Name, reached: Reached) => Engine
  /** Follows an engine. @returns a function that stops it */
  follow: (name: Name, reached: Reached, engine: Engine) => () => void
  /** Gets the ids of all nodes at each look. */
  onNodes?: (ids: string[]) => Promise<void>
}

/**
 * Follows the engines of all nodes: looks for new nodes every 2 s, follows a replaced engine anew, and forgets nodes that
 * are gone. @returns a function that stops it
 */
export function followEngines<Name extends string>({
  part,
  names,
  engineOf,
  follow,
  onNodes,
}: Following<Name>): () => void {
  const stop = new AbortController()
  /** By node and name. A replaced engine is followed anew, the others of its node are not. */
  const followed = new Map<string, Map<Name, { engine: Engine; end: () => void }>>()
  const endNode = (node: string) => {
    for (const { end } of followed.get(node)?.values() ?? []) end()
    followed.delete(node)
  }
  const followNode = (reached: Reached) => {
    const ofNode = followed.get(reached.node.id) ?? new Map<Name, { engine: Engine; end: () => void }>()
    followed.set(reached.node.id, ofNode)
    for (const name of names) {
      const engine = engineOf(name, reached)
      const known = ofNode.get(name)
      if (known?.engine === engine) continue
      known?.end()
      ofNode.set(name, { engine, end: follow(name, reached, engine) })
    }
  }
  const update = async () => {
    const all = await recentNodes()
    for (const reached of all) followNode(reached)
    const ids = all.map(({ node: { id } }) => id)
    for (const node of followed.keys()) {
      if (ids.includes(node)) continue
      endNode(node)
      await forget(node)
    }
    await onNodes?.(ids)
  }
  void (async () => {
    while (!stop.signal.aborted) {
      await update().catch((error: Error) => log(part).debug({ err: error }, 'the nodes are not known yet'))
      await delay(findNodesEveryMs, undefined, { signal: stop.signal }).catch(() => undefined)
    }
  })()
  return () => {
    stop.abort()
    for (const node of followed.keys()) endNode(node)
  }
}

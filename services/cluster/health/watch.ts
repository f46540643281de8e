import { setTimeout as delay } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import { open, type Reached } from '#shared/nodes/nodes.ts'
import { log } from '#shared/runtime/log.ts'
import { engineStatesOf, factsOf } from '../nodes/facts.ts'
import { nodeRecords } from '../nodes/model.ts'
import type { StoredNode } from '../nodes/stored-node.ts'
import { reachOf } from '../nodes/view.ts'

const everyMs = 5000

type Health = Pick<StoredNode, 'status' | 'status_reason' | 'engines'>

const words = (error: unknown) => (error instanceof Error ? error.message : String(error))

/** Asks the host and each of its engines: the host may be well when an engine is not. */
async function healthOf(reached: Reached, before: StoredNode['engines']): Promise<Health> {
  const [shell, engines] = await Promise.all([
    reached.host.stat('/proc/version').then(
      () => ({ status: 'online' as const, status_reason: null }),
      (error: unknown) => ({ status: 'offline' as const, status_reason: words(error) }),
    ),
    engineStatesOf(reached, before),
  ])
  return { ...shell, engines }
}

/** Checks a node once, and records what has changed; its facts too when it came back or an engine was upgraded. */
export async function checkNode(node: StoredNode): Promise<void> {
  const reached = open(reachOf(node))
  const { status, status_reason, engines } = node
  const health = await healthOf(reached, engines)
  if (isDeepStrictEqual(health, { status, status_reason, engines }) && node.facts) return
  const facts = health.status === 'online' ? await factsOf(reached.host) : node.facts
  await nodeRecords.updateWhere({ _id: node.id, version: node.version }, { set: { ...health, facts } })
}

/** Checks every node every five seconds; one that hangs delays no other. @returns a function that stops it */
export function watchHealth(): () => void {
  const stop = new AbortController()
  const busy = new Set<string>()
  const check = async (node: StoredNode) => {
    if (busy.has(node.id)) return
    busy.add(node.id)
    await checkNode(node).catch((error: Error) =>
      log('nodes').warn({ err: error, node: node.id }, 'a node could not be checked'),
    )
    busy.delete(node.id)
  }
  void (async () => {
    while (!stop.signal.aborted) {
      const all = await nodeRecords.all().catch(() => [])
      for (const node of all) void check(node)
      await delay(everyMs, undefined, { signal: stop.signal }).catch(() => undefined)
    }
  })()
  return () => stop.abort()
}

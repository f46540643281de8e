import { setTimeout as delay } from 'node:timers/promises'
import type { Node } from '#shared/contracts/cluster/nodes.ts'
import { versions } from '#shared/nodes/libvirt/host-facts.ts'
import { log } from '#shared/runtime/log.ts'
import { open } from '#shared/nodes/nodes.ts'
import { nodeRecords, type StoredNode } from './model.ts'
import { factsOf } from './facts.ts'
import { reachOf } from './nodes.ts'

const everyMs = 5000

type Health = Pick<Node, 'status' | 'status_reason' | 'hypervisor_status' | 'hypervisor_reason'>

const words = (error: unknown) => (error instanceof Error ? error.message : String(error))

/** Asks the host and its libvirt, each for itself: the one may be well when the other is not. */
export async function healthOf(node: StoredNode): Promise<Health> {
  const { host, libvirt } = open(reachOf(node))
  const [shell, hypervisor] = await Promise.allSettled([host.stat('/proc/version'), versions(libvirt)])
  return {
    status: shell.status === 'fulfilled' ? 'online' : 'offline',
    status_reason: shell.status === 'fulfilled' ? null : words(shell.reason),
    hypervisor_status: hypervisor.status === 'fulfilled' ? 'online' : 'offline',
    hypervisor_reason: hypervisor.status === 'fulfilled' ? null : words(hypervisor.reason),
  }
}

/** Looks once after a node and writes down what has changed, its facts too when it came back or was upgraded. */
export async function lookAfter(node: StoredNode): Promise<void> {
  const health = await healthOf(node)
  const hasChanged = (Object.keys(health) as (keyof Health)[]).some((key) => health[key] !== node[key])
  if (!hasChanged && node.facts) return
  const { host, libvirt } = open(reachOf(node))
  const facts = health.status === 'online' ? await factsOf(host, libvirt) : node.facts
  await nodeRecords.updateWhere({ _id: node.id, version: node.version }, { set: { ...health, facts } })
}

/** Looks after every node every five seconds; one that hangs holds up no other. @returns a function that stops it */
export function watchHealth(): () => void {
  const stop = new AbortController()
  const busy = new Set<string>()
  const look = async (node: StoredNode) => {
    if (busy.has(node.id)) return
    busy.add(node.id)
    await lookAfter(node).catch((error: Error) =>
      log('nodes').warn({ err: error, node: node.id }, 'could not look after it'),
    )
    busy.delete(node.id)
  }
  void (async () => {
    while (!stop.signal.aborted) {
      const all = await nodeRecords.all().catch(() => [])
      for (const node of all) void look(node)
      await delay(everyMs, undefined, { signal: stop.signal }).catch(() => undefined)
    }
  })()
  return () => stop.abort()
}

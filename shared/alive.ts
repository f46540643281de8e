import { ErrorCode, type NatsError } from 'nats'
import type { ServiceBroker } from 'moleculer'
import { bus, busIsBackForMs, respond } from '#shared/bus.ts'

const subject = (nodeId: string) => `horcrux.alive.${nodeId}`
const answersWithinMs = 400
/** After the bus was away a process that lives may not be back on it yet. */
const settledMs = 2000

/** Has this process answer that it lives, and tell the others that it does. @returns a function that stops it */
export function answerAlive(broker: ServiceBroker): () => void {
  broker.metadata['alive'] = true
  const subscription = bus().nats.subscribe(subject(broker.nodeID), { callback: (_, message) => respond(message) })
  return () => subscription.unsubscribe()
}

const asked = new Map<string, Promise<boolean>>()

/**
 * Whether a process is known to have gone: NATS drops its subscriptions in the moment its connection breaks, and says so
 * at once to whoever asks. A process that is only slow, or stopped, is not known to have gone.
 */
export function hasGone(nodeId: string): Promise<boolean> {
  const known = asked.get(nodeId)
  if (known) return known
  const asking = ask(nodeId).finally(() => asked.delete(nodeId))
  asked.set(nodeId, asking)
  return asking
}

async function ask(nodeId: string): Promise<boolean> {
  if (busIsBackForMs() < settledMs) return false
  try {
    await bus().nats.request(subject(nodeId), undefined, { timeout: answersWithinMs })
    return false
  } catch (error) {
    return (error as NatsError).code === ErrorCode.NoResponders && busIsBackForMs() >= settledMs
  }
}

/** The parts of Moleculer's registry that are in none of its types. */
type Nodes = {
  get: (id: string) => { metadata?: Record<string, unknown> } | undefined
  disconnected: (id: string, unexpected: boolean) => void
}
const nodesOf = (broker: ServiceBroker) => broker.registry.nodes as unknown as Nodes

const firstLookMs = 250
const nextLookMs = 500

/**
 * Watches over a call: a process that has gone is out of the rotation at once, and all calls that wait for it end with
 * RequestRejectedError, instead of when its heartbeats have been missed. @returns a function that ends it
 */
export function watchOver(broker: ServiceBroker, nodeId: string): () => void {
  if (!nodesOf(broker).get(nodeId)?.metadata?.['alive']) return () => undefined
  const look = async () => {
    if (await hasGone(nodeId)) nodesOf(broker).disconnected(nodeId, true)
    else if (!isOver) timer = setTimeout(look, nextLookMs)
  }
  let isOver = false
  let timer = setTimeout(look, firstLookMs)
  return () => {
    isOver = true
    clearTimeout(timer)
  }
}

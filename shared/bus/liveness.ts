import { setTimeout as delay } from 'node:timers/promises'
import { ErrorCode, type NatsError } from 'nats'
import type { ServiceBroker } from 'moleculer'
import { bus, busIsBackForMs, respond } from '#shared/bus/bus.ts'
import { log } from '#shared/runtime/log.ts'

const subject = (nodeId: string) => `horcrux.alive.${nodeId}`
/** A process whose event loop turns answers within a few milliseconds, on a busy machine within some more. */
const answersWithinMs = 250
/** Who was itself kept waiting for so much longer says nothing of others. */
const ownDelayMs = 50
/** After the bus was away a process that lives may not be back on it yet. */
const settledMs = 2000

/** Has this process answer that it lives, and tell the others that it does. @returns a function that stops it */
export function answerAlive(broker: ServiceBroker): () => void {
  broker.metadata['alive'] = true
  const subscription = bus().nats.subscribe(subject(broker.nodeID), { callback: (_, message) => respond(message) })
  return () => subscription.unsubscribe()
}

/** Gone: it is on the bus no more. Silent: it is, and says nothing: it is stopped, or busy with itself. */
type Sign = 'lives' | 'silent' | 'gone'

const asked = new Map<string, Promise<Sign>>()

/**
 * Whether a process lives. NATS drops its subscriptions in the moment its connection breaks, and says so at once to
 * whoever asks; while the bus is unsettled nothing is said of anybody.
 */
function signOf(nodeId: string): Promise<Sign> {
  const known = asked.get(nodeId)
  if (known) return known
  const asking = ask(nodeId).finally(() => asked.delete(nodeId))
  asked.set(nodeId, asking)
  return asking
}

/** Whether a process is known to have gone. One that is slow, or stopped, is not. */
export const hasGone = async (nodeId: string): Promise<boolean> => (await signOf(nodeId)) === 'gone'

async function ask(nodeId: string): Promise<Sign> {
  if (busIsBackForMs() < settledMs) return 'lives'
  const end = performance.now() + answersWithinMs
  try {
    await bus().nats.request(subject(nodeId), undefined, { timeout: answersWithinMs })
    return 'lives'
  } catch (error) {
    if (busIsBackForMs() < settledMs) return 'lives'
    const { code } = error as NatsError
    if (code === ErrorCode.NoResponders) return 'gone'
    return code === ErrorCode.Timeout && performance.now() < end + ownDelayMs ? 'silent' : 'lives'
  }
}

/** The parts of Moleculer's registry that are in none of its types. */
type Nodes = {
  get: (id: string) => { metadata?: Record<string, unknown>; available: boolean } | undefined
  disconnected: (id: string, unexpected: boolean) => void
}
// Moleculer types its registry as a class without these.
const nodesOf = (broker: ServiceBroker) => broker.registry.nodes as unknown as Nodes

const firstLookMs = 100
const nextLookMs = 400

/**
 * Watches over a call: a process that has gone is out of the rotation at once, and all calls that wait for it end with
 * RequestRejectedError, instead of when its heartbeats have been missed. Of one that is silent `onSilent` hears, each
 * time. @returns a function that ends it
 */
export function watchOver(broker: ServiceBroker, nodeId: string, onSilent?: () => void): () => void {
  if (!nodesOf(broker).get(nodeId)?.metadata?.['alive']) return () => undefined
  const look = async () => {
    const sign = await signOf(nodeId)
    if (sign === 'gone') return nodesOf(broker).disconnected(nodeId, true)
    if (sign === 'silent') avoid(broker, nodeId)
    if (isOver) return
    if (sign === 'silent') onSilent?.()
    timer = setTimeout(look, nextLookMs)
  }
  let isOver = false
  let timer = setTimeout(look, firstLookMs)
  return () => {
    isOver = true
    clearTimeout(timer)
  }
}

const silent = new Set<string>()
/** Whether a process was asked whether it lives, and has not answered yet. */
export const isSilent = (nodeId: string) => silent.has(nodeId)
export const isAnySilent = () => silent.size > 0

/** Holds a process for silent until it answers again, or its heartbeats have been missed. */
function avoid(broker: ServiceBroker, nodeId: string): void {
  if (silent.has(nodeId)) return
  silent.add(nodeId)
  log('bus').info({ node: nodeId }, 'a process is silent; others are asked')
  const listen = async () => {
    for (let sign: Sign = 'silent'; sign === 'silent' && nodesOf(broker).get(nodeId)?.available;) {
      await delay(nextLookMs / 2)
      sign = await signOf(nodeId)
    }
  }
  void listen().finally(() => silent.delete(nodeId))
}

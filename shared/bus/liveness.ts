import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { ErrorCode, type NatsError } from 'nats'
import type { ServiceBroker } from 'moleculer'
import { isBusSettled, listen, request, respond } from '#shared/bus/bus.ts'
import { log } from '#shared/runtime/log.ts'

const subject = (nodeId: string) => `horcrux.alive.${nodeId}`
/** A process whose event loop is free answers within a few milliseconds, on a busy machine within some more. */
const answersWithinMs = 250
/** If our own event loop lagged more than this, a timeout is no evidence. Milliseconds. */
const ownDelayMs = 50
/** This process on the bus, once it answers that it is alive. */
let ownNodeId = ''

/** A name for one piece of work of this process, by which {@link hasHolderGone} finds out whether the process is there. */
export const newHolder = () => `${ownNodeId}/${randomUUID()}`

/** Checks that a process is known to have gone. A slow or stopped process has not. */
export const hasGone = async (nodeId: string): Promise<boolean> => (await signOf(nodeId)) === 'gone'

/** Checks that the process of a lease's holder is known to have gone. */
export async function hasHolderGone(holder: string): Promise<boolean> {
  const nodeId = holder.split('/')[0]!
  return nodeId !== '' && nodeId !== ownNodeId && (await hasGone(nodeId))
}

/** Answers requests on this process's liveness subject, and announces in its metadata that it does. @returns a function that stops it */
export function answerAlive(broker: ServiceBroker): () => void {
  broker.metadata['alive'] = true
  ownNodeId = broker.nodeID
  return listen(subject(broker.nodeID), (message) => respond(message))
}

/** Gone: no subscriber any more. Silent: it is subscribed and does not answer, since it is stopped or its event loop is busy. */
type Sign = 'lives' | 'silent' | 'gone'

const asked = new Map<string, Promise<Sign>>()

/**
 * Requests an answer from a process. NATS drops subscriptions in the moment their connection breaks, and answers requests
 * without a subscriber at once. While the bus is not settled every process counts as alive.
 */
function signOf(nodeId: string): Promise<Sign> {
  const known = asked.get(nodeId)
  if (known) return known
  const asking = ask(nodeId).finally(() => asked.delete(nodeId))
  asked.set(nodeId, asking)
  return asking
}

async function ask(nodeId: string): Promise<Sign> {
  if (!isBusSettled()) return 'lives'
  const end = performance.now() + answersWithinMs
  try {
    await request(subject(nodeId), answersWithinMs)
    return 'lives'
  } catch (error) {
    if (!isBusSettled()) return 'lives'
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
 * Checks the process that a call waits for. One that has gone leaves Moleculer's registry at once, so that all calls that
 * wait for it end with RequestRejectedError, without waiting for missed heartbeats.
 * @param onSilent called each time the process does not answer
 * @returns a function that ends it
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
/** True if a process has answered neither the last request nor anything since. */
export const isSilent = (nodeId: string) => silent.has(nodeId)
export const isAnySilent = () => silent.size > 0

/** Marks a process as silent until it answers again, or its heartbeats have been missed. */
function avoid(broker: ServiceBroker, nodeId: string): void {
  if (silent.has(nodeId)) return
  silent.add(nodeId)
  log('bus').info({ node: nodeId }, 'a process does not answer; calls go to other replicas')
  const listen = async () => {
    for (let sign: Sign = 'silent'; sign === 'silent' && nodesOf(broker).get(nodeId)?.available;) {
      await delay(nextLookMs / 2)
      sign = await signOf(nodeId)
    }
  }
  void listen().finally(() => silent.delete(nodeId))
}

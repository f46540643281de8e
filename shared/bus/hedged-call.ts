import type { ServiceBroker } from 'moleculer'
import { isAnySilent, isSilent, watchOver } from '#shared/bus/liveness.ts'
import { deliveryOf } from '#shared/bus/broker.ts'

/** The part of Moleculer's registry that its types leave out. */
type Actions = {
  getActionEndpoints: (name: string) => { endpoints: { id: string; isAvailable: boolean; local: boolean }[] } | null
}

/** Picks a replica that is not known to be silent, preferably this process. */
function pick(broker: ServiceBroker, action: string, but: ReadonlySet<string>): string | undefined {
  // Moleculer's own registry, as the type above says it.
  const all = (broker.registry as unknown as Actions).getActionEndpoints(action)?.endpoints ?? []
  const fit = all.filter(({ id, isAvailable }) => isAvailable && !isSilent(id) && !but.has(id))
  const local = fit.find((endpoint) => endpoint.local)
  return (local ?? fit[Math.floor(Math.random() * fit.length)])?.id
}

const nobody: ReadonlySet<string> = new Set()

type Calling = Promise<unknown> & { ctx?: { nodeID: string | null } }

/** Calls a replica that is not silent, as long as there is one. */
function callOne(
  broker: ServiceBroker,
  action: string,
  params: unknown,
  options: { meta: object; timeout: number },
  nodeId = isAnySilent() ? pick(broker, action, nobody) : undefined,
): Calling {
  return broker.call(action, params, { ...options, ...(nodeId !== undefined && { nodeID: nodeId }) }) as Calling
}

const elsewhere = (broker: ServiceBroker, { ctx }: Calling) =>
  ctx?.nodeID && ctx.nodeID !== broker.nodeID ? ctx.nodeID : undefined

/** Tries a call once. It ends at once when its replica has gone. */
export function callOnce(
  broker: ServiceBroker,
  action: string,
  params: unknown,
  meta: object,
  timeout: number,
): Promise<unknown> {
  const calling = callOne(broker, action, params, { meta, timeout })
  const nodeId = elsewhere(broker, calling)
  return nodeId === undefined ? calling : calling.finally(watchOver(broker, nodeId))
}

/** As {@link callOnce}, to one process, for things that only its memory has. */
export const callAt =
  (nodeId: string): typeof callOnce =>
  (broker, action, params, meta, timeout) => {
    const calling = callOne(broker, action, params, { meta, timeout }, nodeId)
    return elsewhere(broker, calling) === undefined ? calling : calling.finally(watchOver(broker, nodeId))
  }

/**
 * As {@link callOnce}, for questions: when the replica is silent (stopped, or its event loop is busy) another one is
 * asked too, and the first answer counts.
 */
export function hedgedCall(
  broker: ServiceBroker,
  action: string,
  params: unknown,
  meta: object,
  timeout: number,
): Promise<unknown> {
  const { promise, resolve, reject } = Promise.withResolvers<unknown>()
  const end = performance.now() + timeout
  const tried = new Set<string>()
  let open = 0
  let isOver = false

  const settle = async (calling: Calling, own: object, stop: () => void) => {
    try {
      const answer = await calling
      // The response metadata comes from the same replica as the answer.
      if (!isOver) Object.assign(meta, own)
      resolve(answer)
      isOver = true
    } catch (error) {
      // Another replica may still answer.
      if (open > 1 && deliveryOf(error) !== undefined) return
      reject(error)
      isOver = true
    } finally {
      open--
      stop()
    }
  }
  const askAnother = () => {
    const left = end - performance.now()
    const other = isOver || left < 1 ? undefined : pick(broker, action, tried)
    if (other !== undefined) begin(left, other)
  }
  const begin = (left: number, nodeId?: string) => {
    const own = { ...meta, deadline: Date.now() + left }
    const calling = callOne(broker, action, params, { meta: own, timeout: left }, nodeId)
    const to = elsewhere(broker, calling)
    if (to !== undefined) tried.add(to)
    open++
    void settle(calling, own, to === undefined ? () => undefined : watchOver(broker, to, askAnother))
  }
  begin(timeout)
  return promise
}

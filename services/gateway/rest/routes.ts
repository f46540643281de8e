import type { FastifyInstance, FastifyReply, FastifyRequest, HTTPMethods } from 'fastify'
import type { ServiceBroker } from 'moleculer'
import { asService } from '#shared/access/access.ts'
import type { Meta } from '#shared/bus/call.ts'
import { type Contract, isChange, isOperation } from '#shared/contract/contract.ts'
import { within } from '#shared/runtime/request-context.ts'
import { rightsOf } from '#shared/service/rights.ts'
import { authorize } from '#shared/service/implement.ts'
import { type Answer, askService, type Route, sendAnswer } from './answer.ts'
import { admit, admitBody, type Gate, identifyAgain } from '../admission/admit.ts'
import type { Cache } from './answer-cache.ts'
import { ifMatchOf } from './etag.ts'
import { inTime } from './answer-deadline.ts'
import { idempotencyOf, onceFor } from '../idempotency/idempotency.ts'
import { isList, streamList, wantsStream } from './ndjson.ts'
import { paramsOf } from './params.ts'
import { holdAnswer } from './prefer.ts'
import { recordRefusalOf } from '../admission/audit-denied.ts'

/** The routes of the contracts: one for each action that has a `rest` line. */
export const routesOf = (contracts: readonly Contract[]): Route[] =>
  contracts.flatMap((contract) =>
    Object.entries(contract.actions).flatMap(([key, action]) => {
      if (!action.rest) return []
      const [method = '', path = ''] = action.rest.split(' ')
      return [{ name: `${contract.name}.${key}`, method, path, action, contract }]
    }),
  )

/** Serves every action of the contracts under `/api`. */
export function addRoutes(
  app: FastifyInstance,
  broker: ServiceBroker,
  contracts: readonly Contract[],
  gate: Gate,
  cache: Cache,
): void {
  for (const route of routesOf(contracts))
    app.route({
      method: route.method as HTTPMethods,
      url: `/api${route.path.replaceAll(/\{(\w+)\}/g, ':$1')}`,
      onRequest: admit(gate, route),
      ...(route.method !== 'GET' && { preHandler: admitBody(gate, route) }),
      handler: handlerOf(broker, route, gate, cache),
    })
}

/** A question that was held for longer is answered to whoever may still ask it. Milliseconds. */
const heldMs = 1000
/** At most so much longer for that. Milliseconds. */
const againMs = 2000

/** Answers at once, without a promise in between, where it returns undefined. */
type Handler = (request: FastifyRequest, reply: FastifyReply) => Promise<FastifyReply> | undefined

function handlerOf(broker: ServiceBroker, route: Route, gate: Gate, cache: Cache): Handler {
  const { identify } = gate
  const answer = cache.keeps(route) ? fromCache(broker, route, cache) : fromService(broker, route, gate, cache)
  if (!isList(route.action)) return answer
  return (request, reply) => {
    if (!wantsStream(request)) return answer(request, reply)
    const params = paramsOf(route.action.params, request)
    return streamList(broker, route, params, request, reply, () => identifyAgain(request, identify))
  }
}

const metaOf = ({ caller, id }: FastifyRequest): Meta => ({ caller, requestId: id, bytes: true })

/** What is at hand is sent; else the service is asked, once for all who ask the same. */
const fromCache =
  (broker: ServiceBroker, route: Route, cache: Cache): Handler =>
  (request, reply) => {
    const known = cache.known(route, request)
    if (known) {
      sendAnswer(request, reply, known)
      return undefined
    }
    const ask = () =>
      askService(broker, route, paramsOf(route.action.params, request), metaOf(request), reply.elapsedTime)
    return cache.answer(route, request, ask).then((answer) => sendAnswer(request, reply, answer))
  }

/** The service is asked each time; a POST with an idempotency key at most once. */
function fromService(broker: ServiceBroker, route: Route, { identify }: Gate, cache: Cache): Handler {
  const { action } = route
  const change = isChange(action)
  return async (request, reply) => {
    const params = paramsOf(action.params, request)
    const again = () => inTime(reply, identifyAgain(request, identify), againMs)
    const meta = metaOf(request)
    const ifMatch = change ? ifMatchOf(request.headers['if-match']) : undefined
    if (ifMatch !== undefined) meta.ifMatch = ifMatch
    const ask = (seed?: string) =>
      askService(
        broker,
        route,
        params,
        { ...meta, ...(seed !== undefined && { idempotency: seed }) },
        reply.elapsedTime,
      )
    const key = route.method === 'POST' ? idempotencyOf(request) : undefined
    const work = { ask, mayStill: () => requireStill(broker, route, params, request) }
    let answer: Answer
    try {
      answer = key === undefined ? await ask() : await inTime(reply, onceFor(key, route, params, request, reply, work))
      if (!change && reply.elapsedTime > heldMs) await again()
    } finally {
      // Whoever changed something sees it in the next answer, before the word of it comes over the bus.
      if (change) cache.drop(route)
    }
    if (isOperation(action)) answer = await holdAnswer(broker, answer, request, reply, again)
    return sendAnswer(request, reply, answer)
  }
}

/** Whoever asks for an answer that was kept must still be allowed what it answers. @throws ForbiddenError, on record */
async function requireStill(
  broker: ServiceBroker,
  route: Route,
  params: Record<string, unknown>,
  request: FastifyRequest,
): Promise<void> {
  const { caller, id: requestId } = request
  const rights = await within({ broker, service: 'gateway', caller: asService('gateway'), requestId }, () =>
    rightsOf(caller),
  )
  try {
    authorize(route.action, params, caller, rights)
  } catch (error) {
    await recordRefusalOf(request, route, error)
    throw error
  }
}

import type { FastifyInstance, FastifyReply, FastifyRequest, HTTPMethods } from 'fastify'
import type { ServiceBroker } from 'moleculer'
import { asService } from '#shared/access.ts'
import type { Meta } from '#shared/call.ts'
import { type Contract, isChange, isOperation } from '#shared/contract.ts'
import { within } from '#shared/current.ts'
import { rightsOf } from '#shared/rights.ts'
import { authorize } from '#shared/service.ts'
import { type Answer, askService, type Route, sendAnswer } from './answer.ts'
import { admit, admitBody, type Gate, identifyAgain } from './admit.ts'
import type { Cache } from './cache.ts'
import { ifMatchOf } from './etag.ts'
import { inTime } from './in-time.ts'
import { idempotencyOf, onceFor } from './idempotency.ts'
import { isList, streamList, wantsStream } from './ndjson.ts'
import { paramsOf } from './params.ts'
import { holdAnswer } from './prefer.ts'
import { recordRefusalOf } from './refusals.ts'

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

function handlerOf(broker: ServiceBroker, route: Route, { identify }: Gate, cache: Cache) {
  const { action } = route
  const streams = isList(action)
  const change = isChange(action)
  const isKept = cache.keeps(route)
  const serve = async (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> => {
    if (isKept && !(streams && wantsStream(request))) {
      const meta: Meta = { caller: request.caller, requestId: request.id, bytes: true }
      const fresh = () => askService(broker, route, paramsOf(action.params, request), meta, reply.elapsedTime)
      return sendAnswer(request, reply, await cache.answer(route, request, fresh))
    }
    const params = paramsOf(action.params, request)
    const meta: Meta = { caller: request.caller, requestId: request.id, bytes: true }
    const again = () => identifyAgain(request, identify)
    if (streams && wantsStream(request)) return streamList(broker, route, params, request, reply, again)
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
    if (isOperation(action)) answer = await holdAnswer(broker, answer, request, reply)
    return sendAnswer(request, reply, answer)
  }
  if (!isKept) return serve
  // An answer that is at hand is sent without a promise in between.
  return (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> | undefined => {
    const known = streams && wantsStream(request) ? undefined : cache.known(route, request)
    if (!known) return serve(request, reply)
    sendAnswer(request, reply, known)
    return undefined
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

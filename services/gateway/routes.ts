import type { FastifyInstance, FastifyReply, FastifyRequest, HTTPMethods } from 'fastify'
import type { ServiceBroker } from 'moleculer'
import type { Meta } from '#shared/call.ts'
import { type Contract, isChange, isOperation } from '#shared/contract.ts'
import { type Answer, askService, type Route, sendAnswer } from './answer.ts'
import { admit, admitBody, type Gate } from './admit.ts'
import type { Cache } from './cache.ts'
import { ifMatchOf } from './etag.ts'
import { inTime } from './in-time.ts'
import { idempotencyOf, onceFor } from './idempotency.ts'
import { isList, streamList, wantsStream } from './ndjson.ts'
import { paramsOf } from './params.ts'
import { holdAnswer } from './prefer.ts'

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
      handler: handlerOf(broker, route, cache),
    })
}

function handlerOf(broker: ServiceBroker, route: Route, cache: Cache) {
  const { action } = route
  const streams = isList(action)
  const change = isChange(action)
  const isKept = cache.keeps(route)
  const work = async (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> => {
    if (isKept && !(streams && wantsStream(request))) {
      const meta: Meta = { caller: request.caller, requestId: request.id, bytes: true }
      const fresh = () => askService(broker, route, paramsOf(action.params, request), meta, reply.elapsedTime)
      return sendAnswer(request, reply, await cache.answer(route, request, fresh))
    }
    const params = paramsOf(action.params, request)
    const meta: Meta = { caller: request.caller, requestId: request.id, bytes: true }
    if (streams && wantsStream(request)) return streamList(broker, route, params, request, reply)
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
    let answer: Answer
    try {
      answer = key === undefined ? await ask() : await inTime(reply, onceFor(key, route, params, request, reply, ask))
    } finally {
      // Whoever changed something sees it in the next answer, before the word of it comes over the bus.
      if (change) cache.drop(route)
    }
    if (isOperation(action)) answer = await holdAnswer(broker, answer, request, reply)
    return sendAnswer(request, reply, answer)
  }
  if (!isKept) return work
  // An answer that is at hand is sent without a promise in between.
  return (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> | undefined => {
    const known = streams && wantsStream(request) ? undefined : cache.known(route, request)
    if (!known) return work(request, reply)
    sendAnswer(request, reply, known)
    return undefined
  }
}

import type { FastifyInstance, FastifyReply, FastifyRequest, HTTPMethods } from 'fastify'
import type { ServiceBroker } from 'moleculer'
import { asService } from '#shared/access/access.ts'
import type { Meta } from '#shared/bus/call.ts'
import { type Contract, isChange, isOperation } from '#shared/contract/contract.ts'
import { within } from '#shared/runtime/request-context.ts'
import { rightsOf } from '#shared/service/rights.ts'
import { authorize } from '#shared/service/implement.ts'
import { type Answer, askService, type Route } from './ask-service.ts'
import { admit, admitBody, type Gate, identifyAgain } from '../admission/admit.ts'
import { ifMatchOf, ifPlanOf, withTag } from './etag.ts'
import { inTime } from './answer-deadline.ts'
import { idempotencyOf, onceFor } from '../idempotency/idempotency.ts'
import { isList, streamList, wantsStream } from './ndjson.ts'
import { paramsOf } from './params.ts'
import { holdAnswer } from './prefer.ts'
import { sendAnswer } from './send-answer.ts'
import { stillWaits } from './still-waits.ts'
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
): void {
  for (const route of routesOf(contracts))
    app.route({
      method: route.method as HTTPMethods,
      url: `/api${route.path.replaceAll(/\{(\w+)\}/g, ':$1')}`,
      onRequest: admit(gate, route),
      ...(route.method !== 'GET' && { preHandler: admitBody(gate, route) }),
      handler: handlerOf(broker, route, gate),
    })
}

/** After a longer wait the caller is identified again before the answer is sent. Milliseconds. */
const heldMs = 1000
/** At most so much longer for that. Milliseconds. */
const againMs = 2000

type Handler = (request: FastifyRequest, reply: FastifyReply) => Promise<FastifyReply>

function handlerOf(broker: ServiceBroker, route: Route, gate: Gate): Handler {
  const { identify } = gate
  const answer = fromService(broker, route, gate)
  if (!isList(route.action)) return answer
  return (request, reply) => {
    if (!wantsStream(request)) return answer(request, reply)
    const params = paramsOf(route.action.params, request)
    return streamList(broker, route, params, request, reply, () => identifyAgain(request, identify))
  }
}

const metaOf = ({ caller, id }: FastifyRequest): Meta => ({ caller, requestId: id, bytes: true })

/** Asks the service; for a change with an idempotency key at most once. */
function fromService(broker: ServiceBroker, route: Route, { identify }: Gate): Handler {
  const { action } = route
  const change = isChange(action)
  const isTagged = route.method === 'GET' && isList(action)
  return async (request, reply) => {
    const params = paramsOf(action.params, request)
    const again = () => inTime(reply, identifyAgain(request, identify), { leastMs: againMs })
    const meta = metaOf(request)
    const ifMatch = change ? ifMatchOf(request.headers['if-match']) : undefined
    if (ifMatch !== undefined) meta.ifMatch = ifMatch
    const ifPlan = change ? ifPlanOf(request.headers['if-plan']) : undefined
    if (ifPlan !== undefined) meta.ifPlan = ifPlan
    const send = (seed?: string) =>
      askService(
        broker,
        route,
        params,
        { ...meta, ...(seed !== undefined && { idempotency: seed }) },
        reply.elapsedTime,
      )
    const waits = stillWaits(request, reply)
    const { caller, id: requestId } = request
    const ask = (seed?: string, requireHeld?: () => Promise<void>) => {
      if (!change) return send(seed)
      const requireCurrent = async () => {
        await waits()
        await requireHeld?.()
      }
      return within({ broker, service: 'gateway', caller, requestId, requireCurrent }, () => send(seed))
    }
    const key = change ? idempotencyOf(request) : undefined
    const work = { ask, mayStill: () => requireStill(broker, route, params, request) }
    let answer: Answer =
      key === undefined
        ? await ask()
        : await inTime(reply, onceFor(key, route, params, request, reply, work), { isChange: true })
    if (!change && reply.elapsedTime > heldMs) await again()
    if (isTagged) answer = withTag(answer)
    if (isOperation(action)) answer = await holdAnswer(broker, answer, request, reply, again)
    return sendAnswer(request, reply, answer)
  }
}

/** Checks the rights of a caller again before a stored answer is sent. @throws ForbiddenError, on record */
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

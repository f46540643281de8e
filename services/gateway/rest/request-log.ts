import type { FastifyReply, FastifyRequest } from 'fastify'
import { subjectOf } from '#shared/access/access.ts'
import type { Logger } from 'pino'
import { histogram } from '#shared/runtime/measures.ts'
import { log } from '#shared/runtime/log.ts'

let kept: Logger | undefined
/** Making a logger costs more than most requests. */
const logger = () => (kept ??= log('gateway'))

const requests = histogram('horcrux_http_request_duration_seconds', 'Requests by method, route and status')

/** One line for each request: the route and not its address, which may hold a ticket. */
export function logRequest(request: FastifyRequest, reply: FastifyReply, done: () => void): void {
  const { statusCode: status, elapsedTime } = reply
  const route = request.routeOptions.url ?? 'none'
  requests({ method: request.method, route, status: String(status) }, elapsedTime / 1000)
  const level = status >= 500 ? 'warn' : 'info'
  logger()[level](
    {
      request_id: request.id,
      method: request.method,
      route: request.routeOptions.url ?? null,
      status,
      ms: Math.round(elapsedTime * 10) / 10,
      user: subjectOf(request.caller),
      address: request.address,
    },
    'request',
  )
  done()
}

import type { FastifyReply, FastifyRequest } from 'fastify'
import { config } from '#shared/config/config.ts'
import { AppError, BadRequestError, InternalError, TooLargeError } from '#shared/errors.ts'
import { now } from '#shared/events/event.ts'
import { log } from '#shared/runtime/log.ts'

type FastifyProblem = Error & { code?: string; statusCode?: number }

/** Translates Fastify's own errors into our classes; an unknown error is a bug of ours. */
function translate(error: FastifyProblem, contentType: string | undefined): AppError {
  if (error instanceof AppError) return error
  if (error.code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE')
    return new BadRequestError(`Content type '${contentType ?? ''}' is not known here; send application/json`, {
      details: { content_type: contentType ?? null },
    })
  if (error.code === 'FST_ERR_CTP_BODY_TOO_LARGE')
    return new TooLargeError('The body is larger than 1 MiB', { details: { limit_bytes: bodyLimitBytes } })
  if (error.statusCode !== undefined && error.statusCode < 500) return new BadRequestError(error.message)
  return new InternalError('Internal error', { cause: error })
}

export const bodyLimitBytes = 1_048_576

/** The error body of the API. Seconds to wait and violations travel in `details` over the bus and stand apart here. */
export function errorBody(error: AppError, requestId: string): Record<string, unknown> {
  const { violations, retry_after_seconds: _, operation_id, ...details } = error.details
  const hasDetails = Object.keys(details).length > 0
  return {
    status: error.status,
    error: error.error,
    message: error.message,
    ...(hasDetails && { details }),
    ...(violations !== undefined && { violations }),
    request_id: requestId,
    timestamp: now(),
    retryable: error.retryable || error.status === 429 || error.status === 503,
    ...(operation_id !== undefined && { operation_id }),
  }
}

/** Seconds for `Retry-After`, of errors that say when to come back. */
export function retryAfterOf(error: AppError): number | undefined {
  const seconds = error.details['retry_after_seconds']
  if (typeof seconds === 'number') return Math.max(1, Math.ceil(seconds))
  return error.status === 429 || error.status === 503 ? 5 : undefined
}

/** Answers any error, also those that Fastify raises before a route is found. */
export function sendError(thrown: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const error = translate(thrown as FastifyProblem, request.headers['content-type'])
  if (error.status === 500) logBug(thrown as Error, error, request)
  const retryAfter = retryAfterOf(error)
  if (retryAfter !== undefined) void reply.header('retry-after', retryAfter)
  if (error.status === 401) void reply.header('www-authenticate', 'Bearer realm="horcrux"')
  const body = errorBody(error, request.id)
  if (error.status === 500 && config().development) body['stack'] = (thrown as Error).stack
  return reply.code(error.status).type('application/json; charset=utf-8').send(JSON.stringify(body))
}

/** A bug in a service has its stack in that service's log; only the gateway's own comes with one here. */
function logBug(thrown: Error, error: AppError, request: FastifyRequest): void {
  const own = !(thrown instanceof AppError)
  log('gateway').error(
    { ...(own && { err: thrown }), request_id: request.id, method: request.method, url: request.routeOptions.url },
    own ? 'a bug: unexpected error' : error.message,
  )
}

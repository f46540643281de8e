import type { FastifyReply, FastifyRequest } from 'fastify'
import { setSessionCookie } from '../admission/session-cookie.ts'
import type { Answer } from './ask-service.ts'
import { isNoneMatch } from './etag.ts'

/** A shorter body is sent as text: Node then writes head and body in one system call. Bytes. */
const shortBytes = 16_384

/**
 * True for answers whose ETag stands for more than one encoding (RFC 9110, 8.8.3.3). Those of sign-ins are never
 * compressed: their length would tell of the secrets in them (BREACH).
 */
const mayBeCompressed = ({ routeOptions }: FastifyRequest, { etag }: Answer['headers']) =>
  (etag === undefined || etag.startsWith('W/')) && routeOptions.url?.startsWith('/api/auth/') === false

/** Sends an answer, or 304 without a body when the client has it already (If-None-Match). */
export function sendAnswer(request: FastifyRequest, reply: FastifyReply, answer: Answer): FastifyReply {
  const { status, headers, body, cookie } = answer
  if (cookie !== undefined) setSessionCookie(reply, cookie)
  const { etag } = headers
  const isQuestion = request.method === 'GET' || request.method === 'HEAD'
  void reply.headers(headers)
  if (isQuestion && etag !== undefined && isNoneMatch(request.headers['if-none-match'], etag))
    return reply.code(304).send()
  if (body === null) return reply.code(status).send()
  void reply.code(status).type('application/json; charset=utf-8')
  if (isQuestion && mayBeCompressed(request, headers)) {
    reply.compress(body)
    return reply
  }
  return reply.send(body.length < shortBytes ? body.toString('utf8') : body)
}

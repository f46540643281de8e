import type { FastifyReply, FastifyRequest } from 'fastify'
import { setSessionCookie } from '../admission/session-cookie.ts'
import type { Answer } from './ask-service.ts'
import { isNoneMatch } from './etag.ts'

/** A shorter body is sent as text: Node then writes head and body in one system call. Bytes. */
const shortBytes = 16_384

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
  return reply
    .code(status)
    .type('application/json; charset=utf-8')
    .send(body.length < shortBytes ? body.toString('utf8') : body)
}

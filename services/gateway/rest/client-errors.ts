import { randomUUID } from 'node:crypto'
import { STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import { type AppError, BadRequestError, LongHeadersError, SlowRequestError } from '#shared/errors.ts'
import { log } from '#shared/runtime/log.ts'
import { errorBody } from './errors.ts'

/** A request must have come whole within this. */
export const requestTimeoutMs = 120_000

function errorOf(code: string | undefined): AppError {
  if (code === 'HPE_HEADER_OVERFLOW') return new LongHeadersError('The headers of the request are too long')
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT')
    return new SlowRequestError(`The request did not come whole within ${requestTimeoutMs / 1000} s`, {
      retryable: true,
    })
  return new BadRequestError('The request is not HTTP/1.1 as it should be')
}

/** Answers what never became a request: bytes that are no HTTP, headers that are too long, what does not come to its end. */
export function sendClientError({ code }: Error & { code?: string }, socket: Socket): void {
  if (code === 'ECONNRESET' || !socket.writable) return void socket.destroy()
  const error = errorOf(code)
  const { status } = error
  const requestId = randomUUID()
  log('gateway').info({ request_id: requestId, status, code, address: socket.remoteAddress }, 'no request')
  const body = JSON.stringify(errorBody(error, requestId))
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    'content-type: application/json; charset=utf-8',
    `content-length: ${Buffer.byteLength(body)}`,
    `x-request-id: ${requestId}`,
    'connection: close',
  ]
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`)
}

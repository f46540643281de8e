import type { FastifyRequest } from 'fastify'
import { BadRequestError } from '#shared/errors.ts'

/** @throws BadRequestError with this message when the request does not ask for a WebSocket (RFC 6455, 4.1) */
export function requireUpgrade({ headers }: FastifyRequest, message: string): void {
  if (headers.upgrade?.toLowerCase() !== 'websocket') throw new BadRequestError(message)
}

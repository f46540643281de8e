import { randomUUID } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { Caller } from '#shared/access/access.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** The sender; anonymous until the credential is checked. */
    caller: Caller
    /** Address of the client, as far as proxies are trusted. */
    address: string
  }
}

const sane = /^[A-Za-z0-9._-]{1,64}$/

/** The caller's own `X-Request-Id` when it is fit for logs and headers, else a new one. */
export function requestIdOf({ headers }: IncomingMessage): string {
  const given = headers['x-request-id']
  return typeof given === 'string' && sane.test(given) ? given : randomUUID()
}

/** `/api/v1/…` is another name of `/api/…`. */
export function withoutVersion(url = '/'): string {
  return url.startsWith('/api/v1/') ? `/api/${url.slice(8)}` : url
}

/** An IPv4 address that came over an IPv6 socket, as what it is. */
export const plainAddress = (ip: string) => (ip.startsWith('::ffff:') ? ip.slice(7) : ip)

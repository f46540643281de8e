import type { FastifyReply } from 'fastify'
import type { Meta } from '#shared/bus/call.ts'
import { sessionCookie } from './credentials.ts'

/** Sets the session cookie; null clears it. */
export function setSessionCookie(reply: FastifyReply, cookie: NonNullable<Meta['cookie']> | null): void {
  const attributes = { path: '/', httpOnly: true, sameSite: 'strict', secure: 'auto' } as const
  if (cookie) void reply.setCookie(sessionCookie, cookie.value, { ...attributes, expires: new Date(cookie.expires_at) })
  else void reply.clearCookie(sessionCookie, attributes)
}

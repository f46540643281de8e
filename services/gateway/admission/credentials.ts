import type { FastifyRequest } from 'fastify'
import type { CredentialRef } from '#shared/access/access.ts'
import { AuthenticationError } from '#shared/errors.ts'

/** The credential of a request, and the header it came in: a cookie is sent by browsers without being asked. */
export type Credential = { by: CredentialRef['by']; credential: string; from: 'header' | 'cookie' }

export const sessionCookie = 'horcrux_session'

/**
 * Picks the one credential of a request: the Authorization header, else the X-Api-Key header, else the session cookie.
 * @throws AuthenticationError for an Authorization header of any scheme but Bearer
 */
export function credentialOf(request: Pick<FastifyRequest, 'headers' | 'raw' | 'cookies'>): Credential | null {
  const { headers, raw, cookies } = request
  const { authorization } = headers
  if (authorization !== undefined) return bearerOf(raw.socket, authorization)
  const key = headers['x-api-key']
  if (typeof key === 'string') return { by: 'api_key', credential: key, from: 'header' }
  const session = cookies[sessionCookie]
  return session ? { by: 'session', credential: session, from: 'cookie' } : null
}

const lastShown = new WeakMap<object, { authorization: string; credential: Credential }>()

/** The credential of the connection's previous request, if this one has the same Authorization header. Saves parsing it. */
export function shownAgain({ headers, raw }: Pick<FastifyRequest, 'headers' | 'raw'>): Credential | undefined {
  const last = lastShown.get(raw.socket)
  return last !== undefined && last.authorization === headers.authorization ? last.credential : undefined
}

function bearerOf(connection: object, authorization: string): Credential {
  const token = /^Bearer +(\S+)$/i.exec(authorization)?.[1]
  if (token === undefined) throw new AuthenticationError('Authorization: only `Bearer <token>` is supported')
  const credential = tokenOrKey(token)
  lastShown.set(connection, { authorization, credential })
  return credential
}

/** A bearer token that begins with `hx_` is an API key: some programs can send nothing but a bearer token. */
export const tokenOrKey = (text: string): Credential => ({
  by: text.startsWith('hx_') ? 'api_key' : 'token',
  credential: text,
  from: 'header',
})

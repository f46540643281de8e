import type { FastifyRequest } from 'fastify'
import type { Proof } from '#shared/access/access.ts'
import { AuthenticationError } from '#shared/errors.ts'

/** What a request shows to say who sent it. */
export type Credential = { by: Proof['by']; credential: string; from: 'header' | 'cookie' }

export const sessionCookie = 'horcrux_session'

/**
 * The one credential that counts: a token or key in a header before the cookie, which browsers send unasked.
 * @throws AuthenticationError for an Authorization header of a kind that is not known here
 */
export function credentialOf({ headers, raw }: Pick<FastifyRequest, 'headers' | 'raw'>): Credential | null {
  const { authorization } = headers
  if (authorization !== undefined) return bearerOf(raw.socket, authorization)
  const key = headers['x-api-key']
  if (typeof key === 'string') return { by: 'api_key', credential: key, from: 'header' }
  const session = headers.cookie === undefined ? undefined : cookieOf(headers.cookie)
  return session === undefined ? null : { by: 'session', credential: session, from: 'cookie' }
}

const lastShown = new WeakMap<object, { authorization: string; credential: Credential }>()

/** What the connection's last request showed, when this one shows the same header: mostly it does. */
export function shownAgain({ headers, raw }: Pick<FastifyRequest, 'headers' | 'raw'>): Credential | undefined {
  const last = lastShown.get(raw.socket)
  return last !== undefined && last.authorization === headers.authorization ? last.credential : undefined
}

function bearerOf(connection: object, authorization: string): Credential {
  const token = /^Bearer +(\S+)$/i.exec(authorization)?.[1]
  if (token === undefined) throw new AuthenticationError('Authorization: only `Bearer <token>` is known here')
  const credential = tokenOrKey(token)
  lastShown.set(connection, { authorization, credential })
  return credential
}

/** Programs that can only send a bearer token may send their API key as one. */
export const tokenOrKey = (text: string): Credential => ({
  by: text.startsWith('hx_') ? 'api_key' : 'token',
  credential: text,
  from: 'header',
})

const cookiePattern = new RegExp(`(?:^|;) *${sessionCookie}=([^;]+)`)
const cookieOf = (header: string) => {
  const value = cookiePattern.exec(header)?.[1]?.trim()
  return value?.includes('%') ? decoded(value) : value
}
const decoded = (value: string) => {
  try {
    return decodeURIComponent(value)
  } catch {
    return value
  }
}

import type { FastifyRequest } from 'fastify'
import type { Proof } from '#shared/access.ts'
import { AuthenticationError } from '#shared/errors.ts'

/** What a request shows to say who sent it. */
export type Credential = { by: Proof['by']; credential: string; from: 'header' | 'cookie' }

export const sessionCookie = 'horcrux_session'

/**
 * The one credential that counts: a token or key in a header before the cookie, which browsers send unasked.
 * @throws AuthenticationError for an Authorization header of a kind that is not known here
 */
export function credentialOf({ headers }: Pick<FastifyRequest, 'headers'>): Credential | null {
  const { authorization } = headers
  if (authorization !== undefined) {
    const token = /^Bearer +(\S+)$/i.exec(authorization)?.[1]
    if (token === undefined) throw new AuthenticationError('Authorization: only `Bearer <token>` is known here')
    return tokenOrKey(token)
  }
  const key = headers['x-api-key']
  if (typeof key === 'string') return { by: 'api_key', credential: key, from: 'header' }
  const session = headers.cookie === undefined ? undefined : cookieOf(headers.cookie)
  return session === undefined ? null : { by: 'session', credential: session, from: 'cookie' }
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

import type { FastifyRequest } from 'fastify'
import { ForbiddenError } from '#shared/errors.ts'

/** True if the Origin and Sec-Fetch-Site headers name a page of this address, or there are none (no browser). */
export function isSameOrigin({ headers, host }: Pick<FastifyRequest, 'headers' | 'host'>): boolean {
  const site = headers['sec-fetch-site']
  if (site !== undefined && site !== 'same-origin' && site !== 'none') return false
  const { origin } = headers
  if (origin === undefined) return true
  return URL.canParse(origin) && new URL(origin).host.toLowerCase() === host.toLowerCase()
}

/**
 * A session cookie is sent by browsers for any page; a change with it must come from our own page, and carry a header
 * that a foreign page cannot set.
 * @throws ForbiddenError that says what is missing
 */
export function requireSameOrigin(request: Pick<FastifyRequest, 'headers' | 'host'>): void {
  const { headers } = request
  if (!isSameOrigin(request))
    throw new ForbiddenError('A change with the session cookie must come from a page of the same origin', {
      details: { origin: headers.origin ?? null, host: request.host },
    })
  if (headers['x-requested-with'] === undefined && headers['x-horcrux-request'] === undefined)
    throw new ForbiddenError(
      'A change with the session cookie needs the header X-Horcrux-Request (any value); programs better send a token',
      { details: { missing_header: 'X-Horcrux-Request' } },
    )
}

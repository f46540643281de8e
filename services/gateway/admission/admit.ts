import type { FastifyReply, FastifyRequest } from 'fastify'
import { isChange } from '#shared/contract/contract.ts'
import { AppError, AuthenticationError, ForbiddenError } from '#shared/errors.ts'
import type { Route } from '../rest/ask-service.ts'
import { credentialOf, shownAgain } from './credentials.ts'
import { inTime } from '../rest/answer-deadline.ts'
import type { Identify, Identities } from './identities.ts'
import type { Limits } from './rate-limit.ts'
import { recordRefusalOf } from './audit-denied.ts'
import { requireSameOrigin } from './same-origin.ts'

export type Gate = Pick<Identities, 'identify' | 'known'> & { limits: Limits }

/** Identifies the caller of a long request again, as that of a new request. @throws AuthenticationError */
export async function identifyAgain(request: FastifyRequest, identify: Identify): Promise<void> {
  const credential = credentialOf(request)
  if (credential && request.caller.kind !== 'anonymous') request.caller = await identify(credential, request.address)
}

/**
 * Checks the credential again once the body has arrived: a slow upload outlives a revoked credential. Mostly answered
 * from the cache of identities.
 */
export function admitBody({ identify }: Gate, route: Route) {
  return async (request: FastifyRequest, reply: FastifyReply): Promise<void> => {
    if (route.action.can === 'anyone') return
    try {
      await inTime(reply, identifyAgain(request, identify), { leastMs })
    } catch (error) {
      await recordRefusalOf(request, route, error)
      throw error
    }
  }
}

/** Also after a body that was long on its way. Milliseconds. */
const leastMs = 2000

/** Actions where passwords or set-up tokens can be guessed. */
export const guessable = new Set(['auth.login', 'auth.setup', 'auth.deviceToken'])

/**
 * Checks a request before its body is read: rate limits, the credential, and for changes with a cookie the same origin.
 * An invalid credential is refused only where one is needed: signing in works with a stale cookie.
 */
export function admit({ identify, known, limits }: Gate, route: Route) {
  const { name, action } = route
  const isOpen = action.can === 'anyone'
  const change = isChange(action)
  const look = async (request: FastifyRequest, reply: FastifyReply): Promise<void> => {
    if (guessable.has(name)) await limits.login(request, reply)
    try {
      const credential = credentialOf(request)
      if (credential) {
        request.caller = await identify(credential, request.address)
        if (change && !isOpen && credential.from === 'cookie') requireSameOrigin(request)
      }
    } catch (error) {
      if (!(isOpen && error instanceof AuthenticationError)) {
        // Guessing counts against the address.
        if (error instanceof AppError && error.status < 500) await limits.user(request, reply)
        const isForged = error instanceof ForbiddenError
        await recordRefusalOf(request, route, error, isForged ? 'suspicious_activity' : 'permission_denied')
        throw error
      }
    }
    if (!guessable.has(name)) await limits.user(request, reply)
  }
  return (request: FastifyRequest, reply: FastifyReply, done: () => void): Promise<void> | undefined => {
    const shown = guessable.has(name) ? undefined : shownAgain(request)
    const user = shown && known(shown, request.address)
    if (user) request.caller = user
    // Mostly it is known who it is; without limits nothing is to be waited for then.
    const waiting = user ? limits.user(request, reply) : look(request, reply)
    if (!waiting) done()
    return waiting
  }
}

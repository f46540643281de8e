import type { FastifyReply, FastifyRequest } from 'fastify'
import { isChange } from '#shared/contract.ts'
import { AuthenticationError } from '#shared/errors.ts'
import type { Route } from './answer.ts'
import { credentialOf, shownAgain } from './credentials.ts'
import type { Identities } from './identities.ts'
import type { Limits } from './rate-limit.ts'
import { requireSameOrigin } from './same-origin.ts'

export type Gate = Pick<Identities, 'identify' | 'known'> & { limits: Limits }

/**
 * Once the body is there: it may have been long on its way, and who has lost their proof meanwhile is refused with it.
 * Mostly it is still known who it is.
 */
export function admitBody({ identify }: Gate, { action }: Route) {
  return async (request: FastifyRequest): Promise<void> => {
    if (action.can === 'anyone' || request.caller.kind === 'anonymous') return
    const credential = credentialOf(request)
    if (credential) request.caller = await identify(credential, request.address)
  }
}

/** Where passwords or set-up tokens can be guessed. */
const guessable = new Set(['auth.login', 'auth.setup'])

/**
 * What a request passes before its body is read: limits, then who it is, then whether a browser was misled into sending
 * it. A credential that does not hold is refused only where one is needed: signing in works with a stale cookie.
 */
export function admit({ identify, known, limits }: Gate, { name, action }: Route) {
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
      if (!(error instanceof AuthenticationError)) throw error
      if (!isOpen) {
        // Guessing counts against the address.
        await limits.user(request, reply)
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

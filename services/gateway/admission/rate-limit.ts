import rateLimitPlugin from '@fastify/rate-limit'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { ServiceBroker } from 'moleculer'
import { asService } from '#shared/access/access.ts'
import { send } from '#shared/bus/call.ts'
import { config } from '#shared/config/config.ts'
import type { Result } from '#shared/contract/contract.ts'
import type { auth } from '#shared/contracts/access/auth.ts'
import { RateLimitedError } from '#shared/errors.ts'

const minuteMs = 60_000

type Limited = (request: FastifyRequest, reply: FastifyReply) => Promise<void> | undefined
/** Throws RateLimitedError when it is too much; says in `X-RateLimit-*` how much is left. */
export type Limits = { login: Limited; user: Limited }

const unlimited: Limited = () => undefined

/** Says in the headers how it stands. @throws RateLimitedError when it is too much */
function tell(reply: FastifyReply, max: number, count: number, resetSeconds: number): void {
  void reply.header('x-ratelimit-limit', max)
  void reply.header('x-ratelimit-remaining', Math.max(0, max - count))
  void reply.header('x-ratelimit-reset', resetSeconds)
  if (count > max)
    throw new RateLimitedError(`More than ${max} requests in a minute`, {
      retryable: true,
      details: { limit: max, retry_after_seconds: resetSeconds },
    })
}

/**
 * Counts requests: of each user, or of the address as long as nobody is signed in. These counts are of this gateway;
 * tries to sign in are counted over all gateways, and by each for itself first, so that a flood ends here.
 */
export async function createLimits(app: FastifyInstance, broker: ServiceBroker): Promise<Limits> {
  const { rateLimit, loginLimit } = config()
  await app.register(rateLimitPlugin, { global: false, cache: 20_000 })
  const limited = (max: number, keyOf: (request: FastifyRequest) => string): Limited => {
    const count = app.createRateLimit({ max, timeWindow: minuteMs, keyGenerator: keyOf })
    return async (request, reply) => {
      const state = await count(request)
      if (state.isAllowed) return
      const { remaining, ttlInSeconds, isExceeded } = state
      tell(reply, max, isExceeded ? max + 1 : max - remaining, ttlInSeconds)
    }
  }
  const triesHere = limited(loginLimit, ({ address }) => `login:${address}`)
  const login: Limited = async (request, reply) => {
    await triesHere(request, reply)
    const meta = { caller: asService('gateway'), requestId: request.id }
    const counted = await send(broker, 'auth.countSignInAttempt', { address: request.address }, meta)
    // The contract's own type of the result.
    const { count, reset_seconds } = counted as Result<typeof auth, 'countSignInAttempt'>
    tell(reply, loginLimit, count, reset_seconds)
  }
  const user = limited(rateLimit, ({ caller, address }) => (caller.kind === 'user' ? `user:${caller.user}` : address))
  return { login: loginLimit === 0 ? unlimited : login, user: rateLimit === 0 ? unlimited : user }
}

import rateLimitPlugin from '@fastify/rate-limit'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { config } from '#shared/config.ts'
import { RateLimitedError } from '#shared/errors.ts'

const minuteMs = 60_000
/** Tries a minute of each address where a password or a set-up token is tried. */
const triesPerMinute = 5

type Limited = (request: FastifyRequest, reply: FastifyReply) => Promise<void>
/** Throws RateLimitedError when it is too much; says in `X-RateLimit-*` how much is left. */
export type Limits = { login: Limited; user: Limited }

const unlimited: Limited = async () => undefined

/** Counts requests: of each user, or of the address as long as nobody is signed in. Counts are of this gateway. */
export async function createLimits(app: FastifyInstance): Promise<Limits> {
  const { rateLimit } = config()
  if (rateLimit === 0) return { login: unlimited, user: unlimited }
  await app.register(rateLimitPlugin, { global: false, cache: 20_000 })
  const limited = (max: number, keyOf: (request: FastifyRequest) => string): Limited => {
    const count = app.createRateLimit({ max, timeWindow: minuteMs, keyGenerator: keyOf })
    return async (request, reply) => {
      const state = await count(request)
      if (state.isAllowed) return
      const { remaining, ttlInSeconds, isExceeded } = state
      void reply.header('x-ratelimit-limit', max)
      void reply.header('x-ratelimit-remaining', remaining)
      void reply.header('x-ratelimit-reset', ttlInSeconds)
      if (isExceeded)
        throw new RateLimitedError(`More than ${max} requests in a minute`, {
          retryable: true,
          details: { limit: max, retry_after_seconds: ttlInSeconds },
        })
    }
  }
  return {
    login: limited(Math.min(triesPerMinute, rateLimit), ({ address }) => `login:${address}`),
    user: limited(rateLimit, ({ caller, address }) => (caller.kind === 'user' ? `user:${caller.user}` : address)),
  }
}

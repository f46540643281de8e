import type { FastifyReply, FastifyRequest } from 'fastify'
import { AppError } from '#shared/errors.ts'
import type { Limits } from './rate-limit.ts'
import { recordRefusedProof } from './audit-denied.ts'

/**
 * Guards a route that no contract has: `look` identifies the caller, then the rate limits apply. A refusal counts
 * against the address; an invalid credential is recorded.
 */
export const door =
  (limits: Limits, action: string, look: (request: FastifyRequest) => Promise<void>) =>
  async (request: FastifyRequest, reply: FastifyReply): Promise<void> => {
    try {
      await look(request)
    } catch (error) {
      if (error instanceof AppError && error.status < 500) await limits.user(request, reply)
      await recordRefusedProof(request, action, error)
      throw error
    }
    await limits.user(request, reply)
  }

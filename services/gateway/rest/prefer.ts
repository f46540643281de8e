import type { FastifyReply, FastifyRequest } from 'fastify'
import type { ServiceBroker } from 'moleculer'
import { requestTimeoutMs } from '#shared/bus/broker.ts'
import { type Meta, question } from '#shared/bus/call.ts'
import type { Operation } from '#shared/contracts/core/operations.ts'
import { AppError } from '#shared/errors.ts'
import type { Answer } from './ask-service.ts'

const longestWaitSeconds = 60

/** N of `Prefer: wait=N` (RFC 7240), at most 60. */
export function waitSecondsOf(header: string | string[] | undefined): number {
  const text = Array.isArray(header) ? header.join(',') : (header ?? '')
  const seconds = /(?:^|[,;])\s*wait\s*=\s*"?(\d{1,9})"?/i.exec(text)?.[1]
  return Math.min(Number(seconds ?? 0), longestWaitSeconds)
}

/**
 * Holds the answer to an accepted operation until it has ended, or the time is over. 200 when it has succeeded; 202
 * while it runs or when it has failed: the operation in the body says which.
 * @param again throws when the caller may not have the answer any more
 */
export async function holdAnswer(
  broker: ServiceBroker,
  accepted: Answer,
  request: FastifyRequest,
  reply: FastifyReply,
  again: () => Promise<void>,
): Promise<Answer> {
  const seconds = waitSecondsOf(request.headers['prefer'])
  const id = accepted.headers['location']?.split('/').at(-1)
  if (seconds === 0 || id === undefined) return accepted
  const meta: Meta = { caller: request.caller, requestId: request.id }
  try {
    const waited = question(
      broker,
      'operations.wait',
      { id, timeout: seconds },
      meta,
      seconds * 1000 + requestTimeoutMs,
    )
    // The contract of operations.wait says what it answers.
    const operation = (await waited) as Operation
    await again()
    void reply.header('preference-applied', `wait=${seconds}`)
    return {
      status: operation.state === 'succeeded' ? 200 : 202,
      headers: { ...accepted.headers, etag: `"${operation.version}"` },
      body: Buffer.from(JSON.stringify(operation)),
    }
  } catch (error) {
    // It is accepted and goes on, whether or not somebody can be asked how it does, or may still be told.
    if (error instanceof AppError) return accepted
    throw error
  }
}

import { setTimeout as delay } from 'node:timers/promises'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { LateCallError } from '#shared/errors.ts'
import { wasStoppedSince } from '#shared/runtime/stops.ts'
import { longestMs } from './answer-deadline.ts'

/** Requests that come so soon after a stop of this process may have lain in its sockets meanwhile. Milliseconds. */
const justWokenMs = 1000
/** The end of a connection is heard within this time after the request that lies before it in the socket. Milliseconds. */
const hearMs = 50
/** Margin before the deadline of a request. A call that is sent later could be done after the answer. Milliseconds. */
const marginMs = 100

/**
 * The check of a change before it is sent to a service. A client that gave up, while this process was stopped or had to wait,
 * may have had its change made through another gateway.
 * @returns a function that throws LateCallError when the client does not wait any more, or has its answer
 */
export function stillWaits({ raw }: FastifyRequest, reply: FastifyReply): () => Promise<void> {
  const receivedAt = Date.now()
  // A slow upload is over by now, and does not count.
  const begin = performance.now()
  return async () => {
    if (wasStoppedSince(receivedAt - justWokenMs)) await delay(hearMs)
    const { destroyed, readableEnded } = raw.socket
    if (destroyed || readableEnded) throw new LateCallError('The client has closed its connection')
    if (reply.sent || performance.now() - begin > longestMs - marginMs)
      throw new LateCallError('The request took too long before it could be sent to its service')
  }
}

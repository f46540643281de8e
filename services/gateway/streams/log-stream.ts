import type { FastifyInstance, FastifyReply } from 'fastify'
import type { ServiceBroker } from 'moleculer'
import { containers } from '#shared/contracts/container/containers.ts'
import { check } from '#shared/contract/validate.ts'
import { strict, Id } from '#shared/contracts/common.ts'
import { LogsFrom } from '#shared/contracts/container/streams.ts'
import { log } from '#shared/runtime/log.ts'
import { admit, type Gate, identifyAgain } from '../admission/admit.ts'
import { paramsOf } from '../rest/params.ts'
import { followLog } from './follow-log.ts'

const mediaType = 'text/event-stream; charset=utf-8'
const aliveEveryMs = 15_000
const Asked = strict({ id: Id, ...LogsFrom })
type From = { id: string; tail: number; since?: string; cursor?: string }

/** `GET /api/containers/{id}/logs/stream`: a log that is followed, as Server-Sent Events whose ids are its cursors. */
export function addLogStream(app: FastifyInstance, broker: ServiceBroker, gate: Gate): void {
  const route = {
    name: 'containers.logs',
    method: 'GET',
    path: '/containers/{id}/logs/stream',
    action: containers.actions.logs,
    contract: containers,
  }
  app.get('/api/containers/:id/logs/stream', { onRequest: admit(gate, route) }, async (request, reply) => {
    const last = request.headers['last-event-id']
    const params = paramsOf(Asked, request)
    const { id, ...from } = check<From>(
      Asked,
      typeof last === 'string' && last !== '' ? { ...params, cursor: last } : params,
    )
    // Fastify has the same handler answer HEAD, which has no end to wait for.
    if (request.method === 'HEAD') return reply.type(mediaType).send()
    const { raw } = reply
    let isOpen = true
    raw.on('close', () => (isOpen = false))
    const caller = async () => {
      await identifyAgain(request, gate.identify)
      return request.caller
    }
    const parts = followLog(broker, { id, from, caller, requestId: request.id, isOpen: () => isOpen })
    // All that can be refused is refused before the stream begins.
    const first = await parts.next()
    if (first.done) return reply
    begin(reply)
    const alive = setInterval(() => raw.write(': still here\n\n'), aliveEveryMs)
    try {
      await write(reply, first.value)
      for await (const part of parts) await write(reply, part)
    } catch (error) {
      log('gateway').debug({ err: error as Error, request_id: request.id }, 'a followed log has ended')
      raw.write(`event: end\ndata: ${JSON.stringify({ message: (error as Error).message })}\n\n`)
    } finally {
      clearInterval(alive)
      raw.end()
    }
    return reply
  })
}

function begin(reply: FastifyReply): void {
  // From here on the answer is written piece by piece, past Fastify.
  reply.hijack()
  reply.raw.writeHead(200, {
    ...(reply.getHeaders() as Record<string, string>),
    'content-type': mediaType,
    'x-accel-buffering': 'no',
  })
  reply.raw.write('retry: 1000\n\n')
}

/** Writes one event, and waits while the client does not read. */
async function write({ raw }: FastifyReply, part: { next_cursor: string }): Promise<void> {
  if (raw.destroyed || raw.write(`id: ${part.next_cursor}\nevent: logs\ndata: ${JSON.stringify(part)}\n\n`)) return
  await new Promise((resolve) => raw.once('drain', resolve).once('close', resolve))
}

import { randomUUID } from 'node:crypto'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { ServiceBroker } from 'moleculer'
import { question } from '#shared/bus/call.ts'
import { partBytes, type Upload, uploads } from '#shared/contracts/storage/uploads.ts'
import { BadRequestError, invalid } from '#shared/errors.ts'
import { admit, type Gate, identifyAgain } from '../admission/admit.ts'
import { credentialOf } from '../admission/credentials.ts'
import { requireSameOrigin } from '../admission/same-origin.ts'

/** Joins the chunks of a body to parts of one size, of which at most one is in memory. */
export async function* partsOf(body: AsyncIterable<Buffer>, bytes = partBytes): AsyncGenerator<Buffer> {
  let kept: Buffer[] = []
  let size = 0
  for await (const chunk of body) {
    for (let from = 0; from < chunk.length;) {
      const piece = chunk.subarray(from, from + bytes - size)
      kept.push(piece)
      from += piece.length
      size += piece.length
      if (size < bytes) continue
      yield Buffer.concat(kept)
      kept = []
      size = 0
    }
  }
  if (size > 0) yield Buffer.concat(kept)
}

function offsetOf({ query }: FastifyRequest): number {
  const { offset } = query as { offset?: unknown }
  if (typeof offset !== 'string' || !/^\d{1,15}$/.test(offset))
    throw invalid('offset', 'must be given once, as a number of bytes', 'required')
  return Number(offset)
}

/**
 * Serves the bytes of uploads. The bus carries 1 MiB: the body travels in parts, and the next part is read from the socket
 * when the service has written the one before, so TCP slows the client down to the speed of the storage.
 */
export async function addUploads(app: FastifyInstance, broker: ServiceBroker, gate: Gate): Promise<void> {
  const path = '/storage/pools/{id}/uploads/{upload}'
  const action = uploads.actions.write
  const admitted = admit(gate, { name: 'uploads.write', method: 'PATCH', path, action, contract: uploads })
  const fromSameOrigin = async (request: FastifyRequest) => {
    if (credentialOf(request)?.from === 'cookie') requireSameOrigin(request)
  }

  const receive = async (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> => {
    const { id, upload } = request.params as { id: string; upload: string }
    let offset = offsetOf(request)
    const body = request.body as AsyncIterable<Buffer> | undefined
    if (body === undefined || typeof body !== 'object' || !(Symbol.asyncIterator in body))
      throw new BadRequestError('The body must be of type application/octet-stream, and not empty')
    const writer = randomUUID()
    const write = async (part: Buffer): Promise<Upload> => {
      const params = { id, upload, offset, writer, part: part.toString('base64') }
      // The contract's own result.
      return (await question(broker, 'uploads.write', params, {
        caller: request.caller,
        requestId: request.id,
      })) as Upload
    }
    try {
      for await (const part of partsOf(body)) {
        await identifyAgain(request, gate.identify)
        await write(part)
        offset += part.length
      }
      return reply.send(await write(Buffer.alloc(0)))
    } catch (error) {
      // Lets the next request go on at once. If this fails too, the writer expires by itself.
      await write(Buffer.alloc(0)).catch(() => undefined)
      // The rest of the body is not read.
      void reply.header('connection', 'close')
      throw error
    }
  }

  await app.register(async (inner) => {
    inner.addContentTypeParser('application/octet-stream', (_request, payload, done) => done(null, payload))
    inner.patch(
      '/api/storage/pools/:id/uploads/:upload',
      { onRequest: [admitted, fromSameOrigin], bodyLimit: Number.MAX_SAFE_INTEGER },
      receive,
    )
  })
}

import { Readable } from 'node:stream'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { ServiceBroker } from 'moleculer'
import { asService } from '#shared/access/access.ts'
import { send } from '#shared/bus/call.ts'
import type { Result } from '#shared/contract/contract.ts'
import { containerStreams, mostFileBytes, streamPartBytes } from '#shared/contracts/container/streams.ts'
import { BadRequestError, invalid, TooLargeError, UnavailableError } from '#shared/errors.ts'
import { log } from '#shared/runtime/log.ts'
import { within } from '#shared/runtime/request-context.ts'
import { authorize } from '#shared/service/implement.ts'
import { rightsOf } from '#shared/service/rights.ts'
import { admit, type Gate, identifyAgain } from '../admission/admit.ts'
import { credentialOf } from '../admission/credentials.ts'
import { requireSameOrigin } from '../admission/same-origin.ts'
import { partsOf } from '../rest/uploads.ts'
import { closeRemote, type RemoteStream, remoteStream } from './remote.ts'

const mediaType = 'application/x-tar'
const { openFiles } = containerStreams.actions
const beginWithinMs = 30_000
const againEveryMs = 1000
/** The end of every tar archive is two blocks of zeros (POSIX, pax). */
const endBytes = 1024

type Open = { stream: RemoteStream; close: () => Promise<void>; mayStill: () => Promise<void> }

/** `GET` and `PUT /api/containers/{id}/files?path=`: files out of a container and into it, as tar archives. */
export async function addContainerFiles(app: FastifyInstance, broker: ServiceBroker, gate: Gate): Promise<void> {
  const route = (method: string) => ({
    name: 'container-streams.openFiles',
    method,
    path: '/containers/{id}/files',
    action: openFiles,
    contract: containerStreams,
  })

  const open = async (request: FastifyRequest, write: boolean): Promise<Open> => {
    const { id } = request.params as { id: string }
    const { path } = request.query as { path?: unknown }
    if (typeof path !== 'string') throw invalid('path', 'must be given once', 'required')
    const meta = { caller: request.caller, requestId: request.id }
    const name = 'container-streams.openFiles'
    // The contract's own result.
    const opened = (await send(broker, name, { id, path, write }, meta, beginWithinMs, false)) as Result<
      typeof containerStreams,
      'openFiles'
    >
    let isClosed = false
    const close = async () => {
      if (isClosed) return
      isClosed = true
      await closeRemote(broker, opened.replica, { ticket_id: opened.stream_id, reason: 'The request has ended' })
    }
    let askedAt = performance.now()
    const mayStill = async () => {
      if (performance.now() - askedAt < againEveryMs) return
      await identifyAgain(request, gate.identify)
      const { caller, id: requestId } = request
      const rights = await within({ broker, service: 'gateway', caller: asService('gateway'), requestId }, () =>
        rightsOf(caller),
      )
      authorize(openFiles, { id }, caller, rights)
      askedAt = performance.now()
    }
    return { stream: remoteStream(broker, opened), close, mayStill }
  }

  app.get('/api/containers/:id/files', { onRequest: admit(gate, route('GET')) }, async (request, reply) => {
    // Fastify has the same handler answer HEAD.
    if (request.method === 'HEAD') return reply.type(mediaType).send()
    const opened = await open(request, false)
    const pieces = bytesOf(opened)
    // All that can be refused is refused before the archive begins.
    const first = await pieces.next()
    const body = Readable.from(joined(first, pieces), { objectMode: false })
    body.on('error', (error) => {
      log('gateway').debug({ err: error, request_id: request.id }, 'files of a container broke off')
      reply.raw.destroy()
    })
    return reply.type(mediaType).header('content-disposition', 'attachment; filename="files.tar"').send(body)
  })

  const fromSameOrigin = async (request: FastifyRequest) => {
    if (credentialOf(request)?.from === 'cookie') requireSameOrigin(request)
  }
  const receive = async (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> => {
    const body = request.body as AsyncIterable<Buffer> | undefined
    if (body === undefined || typeof body !== 'object' || !(Symbol.asyncIterator in body))
      throw new BadRequestError(`The body must be a tar archive of type ${mediaType}`)
    const opened = await open(request, true)
    try {
      await give(body, opened)
      return await reply.status(204).send()
    } catch (error) {
      // The rest of the body is not read.
      void reply.header('connection', 'close')
      throw error
    } finally {
      await opened.close()
    }
  }
  await app.register(async (inner) => {
    for (const type of [mediaType, 'application/octet-stream'])
      inner.addContentTypeParser(type, (_request, payload, done) => done(null, payload))
    const onRequest = [admit(gate, route('PUT')), fromSameOrigin]
    inner.put('/api/containers/:id/files', { onRequest, bodyLimit: Number.MAX_SAFE_INTEGER }, receive)
  })
}

/** The bytes of an archive. @throws UnavailableError when it ends before the archive does */
async function* bytesOf({ stream, close, mayStill }: Open): AsyncGenerator<Buffer> {
  let last = Buffer.alloc(0)
  let sent = 0
  try {
    for (;;) {
      const { pieces, end } = await stream.read()
      if (end) break
      await mayStill()
      for (const { bytes } of pieces) {
        sent += bytes.length
        if (sent > mostFileBytes) throw new TooLargeError(`The files are more than ${mostFileBytes / 2 ** 30} GiB`)
        last = Buffer.concat([last, bytes]).subarray(-endBytes)
        yield bytes
      }
    }
    if (last.length < endBytes || last.some((byte) => byte !== 0))
      throw new UnavailableError('The archive broke off before its end')
  } finally {
    await close()
  }
}

async function* joined(first: IteratorResult<Buffer>, rest: AsyncGenerator<Buffer>): AsyncGenerator<Buffer> {
  if (!first.done) yield first.value
  yield* rest
}

/** Gives an archive to a container, as fast as it takes it, and waits until all is unpacked. */
async function give(body: AsyncIterable<Buffer>, { stream, mayStill }: Open): Promise<void> {
  let isOver = false
  const ended = readEnd(stream).finally(() => (isOver = true))
  ended.catch(() => undefined)
  let sent = 0
  for await (const part of partsOf(body, streamPartBytes)) {
    await mayStill()
    sent += part.length
    if (sent > mostFileBytes) throw new TooLargeError(`The files are more than ${mostFileBytes / 2 ** 30} GiB`)
    if (isOver) break
    let isReady = await stream.write(part, false)
    while (!isReady && !isOver) isReady = await stream.isReady()
  }
  if (!isOver) await stream.write(Buffer.alloc(0), true)
  await ended
}

async function readEnd(stream: RemoteStream): Promise<void> {
  for (;;) if ((await stream.read()).end) return
}

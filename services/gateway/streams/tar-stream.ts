import { Readable } from 'node:stream'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { ServiceBroker } from 'moleculer'
import { send } from '#shared/bus/call.ts'
import type { Result } from '#shared/contract/contract.ts'
import { containerStreams, mostFileBytes, streamPartBytes } from '#shared/contracts/container/streams.ts'
import { BadRequestError, TooLargeError, UnavailableError } from '#shared/errors.ts'
import { log } from '#shared/runtime/log.ts'
import type { Gate } from '../admission/admit.ts'
import { partsOf } from '../rest/uploads.ts'
import { closeRemote, type RemoteStream, remoteStream } from './remote.ts'
import { stillMay } from './still-may.ts'

export const mediaType = 'application/x-tar'
const beginWithinMs = 60_000
/** The end of every tar archive is two blocks of zeros (POSIX, pax). */
const endBytes = 1024
/** Place and word of a tar archive that is not compressed. */
const mark = { at: 257, word: 'ustar' }

/** The actions whose answer is a stream of an archive. */
export type Opening = 'openFiles' | 'openExport' | 'openImageExport' | 'openImageUpload'
type Open = { stream: RemoteStream; close: () => Promise<void>; mayStill: () => Promise<void> }

/** Begins a stream of an archive in the service. `mayStill` checks credential and rights again, at most once a second. */
export async function openArchive(
  { broker, gate }: { broker: ServiceBroker; gate: Gate },
  request: FastifyRequest,
  action: Opening,
  params: Record<string, unknown>,
): Promise<Open> {
  const meta = { caller: request.caller, requestId: request.id }
  const name = `container-streams.${action}`
  // The contract's own result.
  const opened = (await send(broker, name, params, meta, beginWithinMs, false)) as Result<
    typeof containerStreams,
    'openFiles'
  >
  let isClosed = false
  const close = async () => {
    if (isClosed) return
    isClosed = true
    await closeRemote(broker, opened.replica, { ticket_id: opened.stream_id, reason: 'The request has ended' })
  }
  const mayStill = stillMay({ broker, gate }, request, containerStreams.actions[action], params)
  return { stream: remoteStream(broker, opened), close, mayStill }
}

/** Answers with an archive, as fast as the client takes it. All that can be refused is refused before it begins. */
export async function sendArchive(
  request: FastifyRequest,
  reply: FastifyReply,
  opened: Open,
  filename: string,
): Promise<FastifyReply> {
  const pieces = bytesOf(opened)
  const first = await pieces.next()
  const body = Readable.from(joined(first, pieces), { objectMode: false })
  body.on('error', (error) => {
    log('gateway').debug({ err: error, request_id: request.id }, 'an archive broke off')
    reply.raw.destroy()
  })
  return reply.type(mediaType).header('content-disposition', `attachment; filename="${filename}"`).send(body)
}

/** The bytes of an archive. @throws UnavailableError when it ends before the archive does */
async function* bytesOf({ stream, close, mayStill }: Open): AsyncGenerator<Buffer> {
  let [first, last] = [Buffer.alloc(0), Buffer.alloc(0)]
  let sent = 0
  try {
    for (;;) {
      const { pieces, end } = await stream.read()
      if (end) break
      await mayStill()
      for (const { bytes } of pieces) {
        sent += bytes.length
        if (sent > mostFileBytes) throw new TooLargeError(`The archive is more than ${mostFileBytes / 2 ** 30} GiB`)
        if (first.length < endBytes) first = Buffer.concat([first, bytes]).subarray(0, endBytes)
        last = Buffer.concat([last, bytes]).subarray(-endBytes)
        yield bytes
      }
    }
    // One that is compressed has an end of its own.
    const isPlain = first.length === 0 || first.toString('latin1', mark.at, mark.at + mark.word.length) === mark.word
    if (isPlain && (last.length < endBytes || last.some((byte) => byte !== 0)))
      throw new UnavailableError('The archive broke off before its end')
  } finally {
    await close()
  }
}

async function* joined(first: IteratorResult<Buffer>, rest: AsyncGenerator<Buffer>): AsyncGenerator<Buffer> {
  if (!first.done) yield first.value
  yield* rest
}

/** The body of a request that sends an archive. @throws BadRequestError for another type */
export function archiveIn(request: FastifyRequest): AsyncIterable<Buffer> {
  const body = request.body as AsyncIterable<Buffer> | undefined
  if (body === undefined || typeof body !== 'object' || !(Symbol.asyncIterator in body))
    throw new BadRequestError(`The body must be a tar archive of type ${mediaType}`)
  return body
}

/** Gives an archive to a service, as fast as it takes it. @returns the output, when all is taken in */
export async function giveArchive(body: AsyncIterable<Buffer>, { stream, mayStill }: Open): Promise<string> {
  let isOver = false
  const ended = readEnd(stream).finally(() => (isOver = true))
  ended.catch(() => undefined)
  let sent = 0
  for await (const part of partsOf(body, streamPartBytes)) {
    await mayStill()
    sent += part.length
    if (sent > mostFileBytes) throw new TooLargeError(`The archive is more than ${mostFileBytes / 2 ** 30} GiB`)
    if (isOver) break
    let isReady = await stream.write(part, false)
    while (!isReady && !isOver) isReady = await stream.isReady()
  }
  if (!isOver) await stream.write(Buffer.alloc(0), true)
  return ended
}

async function readEnd(stream: RemoteStream): Promise<string> {
  const said: Buffer[] = []
  for (;;) {
    const { pieces, end } = await stream.read()
    said.push(...pieces.map(({ bytes }) => bytes))
    if (end) return Buffer.concat(said).toString('utf8')
  }
}

import { Readable } from 'node:stream'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { ServiceBroker } from 'moleculer'
import { asService } from '#shared/access/access.ts'
import { requireRight } from '#shared/access/require-right.ts'
import { send } from '#shared/bus/call.ts'
import { callAt } from '#shared/bus/hedged-call.ts'
import type { Params, Result } from '#shared/contract/contract.ts'
import {
  downloadPartBytes,
  downloadRoute,
  type OpenedDownload,
  volumeDownloads,
} from '#shared/contracts/storage/volume-downloads.ts'
import { PreconditionFailedError, UnsatisfiableRangeError } from '#shared/errors.ts'
import { log } from '#shared/runtime/log.ts'
import { admit, type Gate } from '../admission/admit.ts'
import { isNoneMatch } from '../rest/etag.ts'
import { type ByteRange, rangeIn } from './byte-range.ts'
import { stillMay } from './still-may.ts'

type Actions = typeof volumeDownloads
const openWithinMs = 60_000
const answerWithinMs = 30_000
/** Parts that are read from the service while earlier ones are sent. */
const ahead = 3

type File = OpenedDownload & {
  read: (part: Omit<Params<Actions, 'read'>, 'download_id'>) => Promise<Buffer>
  close: () => Promise<void>
  mayStill: () => Promise<void>
}

/** Opens a file in the service. All that can be refused is refused here. */
async function openFile(
  at: { broker: ServiceBroker; gate: Gate },
  request: FastifyRequest,
  params: Record<string, unknown>,
): Promise<File> {
  const { broker } = at
  const { caller, id: requestId } = request
  const name = 'volume-downloads.open'
  // The contract's own result.
  const opened = (await send(broker, name, params, { caller, requestId }, openWithinMs, false)) as OpenedDownload
  const { download_id, replica, owner } = opened
  const meta = { caller: asService('gateway'), requestId }
  let closing: Promise<unknown> | undefined
  return {
    ...opened,
    read: async (part) => {
      const action = 'volume-downloads.read'
      const asked = { download_id, ...part }
      const { data } = (await send(broker, action, asked, meta, answerWithinMs, false, callAt(replica))) as Result<
        Actions,
        'read'
      >
      return Buffer.from(data, 'base64')
    },
    close: async () => {
      // One that cannot be closed is closed by its replica when nobody reads it any more.
      const close = () =>
        send(broker, 'volume-downloads.close', { download_id }, meta, answerWithinMs, false, callAt(replica))
      closing ??= close().catch((error: unknown) =>
        log('gateway').debug({ err: error as Error, request_id: requestId }, 'a download was not closed'),
      )
      await closing
    },
    mayStill: stillMay(at, request, volumeDownloads.actions.open, params, (rights) => {
      if (owner !== null) requireRight({ caller: request.caller, rights }, 'VmBackup', owner)
    }),
  }
}

/** Reads a part of a file, a few pieces ahead of the client. The last piece is read when all others are there. */
async function* bytesOf(file: File, { first, last }: Exclude<ByteRange, string>): AsyncGenerator<Buffer> {
  const asked: Promise<Buffer>[] = []
  try {
    for (let offset = first; offset <= last; offset += downloadPartBytes) {
      const length = Math.min(downloadPartBytes, last + 1 - offset)
      const is_last = offset + length > last
      while (asked.length >= ahead || (is_last && asked.length > 0)) yield await asked.shift()!
      await file.mayStill()
      const piece = file.read({ offset, length, is_last })
      // Its failure is told when its turn comes.
      piece.catch(() => undefined)
      asked.push(piece)
    }
    for (const piece of asked) yield await piece
  } finally {
    await file.close()
  }
}

/** The tag of a file, and the part of it that is answered; null: the client has it already. @throws PreconditionFailedError */
function wantedOf(
  { method, headers, query }: FastifyRequest,
  file: File,
): { tag: string; range: ByteRange | null } | null {
  const tag = `"${file.tag}"`
  const ifMatch = headers['if-match']
  if (ifMatch !== undefined && ifMatch !== '*' && !ifMatch.split(',').some((each) => each.trim() === tag))
    throw new PreconditionFailedError('The content of the volume is another one by now', { details: { etag: tag } })
  if (isNoneMatch(headers['if-none-match'], tag)) return null
  const isPart = method === 'GET' && isRaw(query)
  const ifRange = headers['if-range']
  const range = isPart
    ? rangeIn(headers.range, typeof ifRange === 'string' ? ifRange : undefined, { size: file.size_bytes, tag })
    : null
  return { tag, range }
}

const isRaw = (query: unknown) => ((query as { format?: unknown }).format ?? 'raw') === 'raw'

function answer(request: FastifyRequest, reply: FastifyReply, file: File, filename: string) {
  const { size_bytes: size } = file
  const wanted = wantedOf(request, file)
  void reply.header('etag', `"${file.tag}"`)
  if (!wanted) return reply.status(304).send()
  // A qcow2 file may be laid out in another way the next time.
  void reply.header('accept-ranges', isRaw(request.query) ? 'bytes' : 'none')
  if (wanted.range === 'unsatisfiable') {
    void reply.header('content-range', `bytes */${size}`)
    throw new UnsatisfiableRangeError(`The file has ${size} bytes`, { details: { size_bytes: size } })
  }
  const { first, last } = wanted.range ?? { first: 0, last: size - 1 }
  if (wanted.range) void reply.status(206).header('content-range', `bytes ${first}-${last}/${size}`)
  void reply
    .type('application/octet-stream')
    .header('content-length', String(last + 1 - first))
    .header('content-disposition', `attachment; filename="${filename}"`)
  // Fastify sets the length of another body than a stream to zero.
  if (request.method === 'HEAD') return reply.send(Readable.from([]))
  const body = Readable.from(bytesOf(file, { first, last }), { objectMode: false })
  body.on('error', (error) => {
    log('gateway').info({ err: error, request_id: request.id }, 'a download broke off')
    reply.raw.destroy()
  })
  // Also of a client that has gone before the first byte.
  body.once('close', () => void file.close())
  return reply.send(body)
}

/** Serves volumes as files. The bus carries 1 MiB: they travel in parts, as fast as the client takes them. */
export function addVolumeDownloads(app: FastifyInstance, broker: ServiceBroker, gate: Gate): void {
  const action = volumeDownloads.actions.open
  const route = {
    name: 'volume-downloads.download',
    method: 'GET',
    path: downloadRoute,
    action,
    contract: volumeDownloads,
  }
  app.get(
    '/api/storage/pools/:id/volumes/:volume/download',
    { onRequest: admit(gate, route) },
    async (request, reply) => {
      const { id, volume } = request.params as { id: string; volume: string }
      const file = await openFile({ broker, gate }, request, { ...(request.query as object), id, volume })
      try {
        const sent = answer(request, reply, file, `${volume}.${isRaw(request.query) ? 'raw' : 'qcow2'}`)
        if (reply.statusCode >= 300 || request.method === 'HEAD') await file.close()
        return sent
      } catch (error) {
        await file.close()
        throw error
      }
    },
  )
}

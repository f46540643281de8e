import { Readable } from 'node:stream'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { ServiceBroker } from 'moleculer'
import { asService } from '#shared/access/access.ts'
import { send } from '#shared/bus/call.ts'
import { callAt } from '#shared/bus/hedged-call.ts'
import type { Result } from '#shared/contract/contract.ts'
import { backupFiles, fileDownloadRoute, type OpenedFiles } from '#shared/contracts/storage/backup-files.ts'
import { UnavailableError } from '#shared/errors.ts'
import { log } from '#shared/runtime/log.ts'
import { admit, type Gate } from '../admission/admit.ts'
import { stillMay } from './still-may.ts'
import { mediaType } from './tar-stream.ts'

type Part = Result<typeof backupFiles, 'read'>

/** A guest boots within this time, also under emulation beside other load. */
const openWithinMs = 120_000
const answerWithinMs = 130_000

type Download = OpenedFiles & {
  read: (offset: number) => Promise<Part>
  close: () => Promise<void>
  mayStill: () => Promise<void>
}

/** Starts the guest in the service. Most that can be refused is refused here. */
async function openDownload(
  at: { broker: ServiceBroker; gate: Gate },
  request: FastifyRequest,
  params: Record<string, unknown>,
): Promise<Download> {
  const { broker } = at
  const { caller, id: requestId } = request
  // The contract's own result.
  const opened = (await send(
    broker,
    'backup-files.open',
    params,
    { caller, requestId },
    openWithinMs,
    false,
  )) as OpenedFiles
  const { download_id, replica } = opened
  const meta = { caller: asService('gateway'), requestId }
  let closing: Promise<unknown> | undefined
  return {
    ...opened,
    read: async (offset) =>
      // A part that is lost is not asked for again: the guest has gone on.
      (await send(
        broker,
        'backup-files.read',
        { download_id, offset },
        meta,
        answerWithinMs,
        false,
        callAt(replica),
      )) as Part,
    close: async () => {
      closing ??= send(
        broker,
        'backup-files.close',
        { download_id },
        meta,
        answerWithinMs,
        false,
        callAt(replica),
      ).catch((error: unknown) =>
        log('gateway').debug({ err: error as Error, request_id: requestId }, 'a download of files was not closed'),
      )
      await closing
    },
    mayStill: stillMay(at, request, backupFiles.actions.open, params),
  }
}

/** All parts from the first on. @throws UnavailableError when a file has another size than it had before */
async function* bytesOf(download: Download, first: Part): AsyncGenerator<Buffer, void> {
  const { read, close, mayStill, size_bytes } = download
  try {
    let offset = 0
    for (let part = first; ; part = await read(offset)) {
      const bytes = Buffer.from(part.data, 'base64')
      offset += bytes.length
      if (part.is_end && size_bytes !== null && offset !== size_bytes)
        throw new UnavailableError(`The file has ${offset} bytes instead of ${size_bytes}`)
      yield bytes
      if (part.is_end) return
      await mayStill()
    }
  } finally {
    await close()
  }
}

/** Serves files and folders of backups, as fast as the client takes them. A connection that is cut says that they are not whole. */
export function addBackupFiles(app: FastifyInstance, broker: ServiceBroker, gate: Gate): void {
  const route = {
    name: 'backup-files.download',
    method: 'GET',
    path: fileDownloadRoute,
    action: backupFiles.actions.open,
    contract: backupFiles,
  }
  app.get(
    '/api/backups/:id/files/:volume/download',
    { onRequest: admit(gate, route), exposeHeadRoute: false },
    async (request, reply) => {
      const { id, volume } = request.params as { id: string; volume: string }
      const download = await openDownload({ broker, gate }, request, { ...(request.query as object), id, volume })
      const { filename, size_bytes } = download
      try {
        // A failure of the first part is answered in words.
        const first = await download.read(0)
        void reply
          .type(size_bytes === null ? mediaType : 'application/octet-stream')
          .header('content-disposition', `attachment; filename="${filename}"`)
        if (size_bytes !== null) void reply.header('content-length', String(size_bytes))
        const body = Readable.from(bytesOf(download, first), { objectMode: false })
        body.on('error', (error) => {
          log('gateway').info({ err: error, request_id: request.id }, 'a download of files broke off')
          reply.raw.destroy()
        })
        // Also of a client that has gone before the first byte.
        body.once('close', () => void download.close())
        return reply.send(body)
      } catch (error) {
        await download.close()
        throw error
      }
    },
  )
}

/**
 * A server of NBD that lets a client read: fixed newstyle negotiation and simple replies, as in doc/proto.md of
 * NetworkBlockDevice/nbd. It never writes.
 */
import type { Duplex } from 'node:stream'
import { createSlots } from '#shared/nodes/host/slots.ts'
import { log } from '#shared/runtime/log.ts'
import { type ByteReader, byteReader } from './bytes.ts'
import { command, requestMagic, simpleReplyMagic } from './protocol.ts'
import { acceptExport, type ByteSource, mostReadBytes } from './serve-handshake.ts'

const errno = { none: 0, notPermitted: 1, inputOutput: 5, invalid: 22 }
/** Requests that are answered at a time. */
const mostOpen = 8

type Request = { type: number; cookie: Buffer; offset: number; length: number }

async function nextRequest({ read }: ByteReader): Promise<Request | null> {
  const head = await read(28)
  if (head.readUInt32BE(0) !== requestMagic) return null
  return {
    type: head.readUInt16BE(6),
    cookie: head.subarray(8, 16),
    offset: Number(head.readBigUInt64BE(16)),
    length: head.readUInt32BE(24),
  }
}

/** The answer of a request: an error number, or the bytes of a read. */
async function answerOf({ type, offset, length }: Request, source: ByteSource): Promise<number | Buffer> {
  if (type === command.flush) return errno.none
  if (type === command.write) return errno.notPermitted
  if (type !== command.read || length > mostReadBytes || offset + length > source.size_bytes) return errno.invalid
  return source.read(offset, length).catch((error: unknown) => {
    log('storage').debug({ err: error as Error, offset, length }, 'a read over NBD has failed')
    return errno.inputOutput
  })
}

async function answer(request: Request, source: ByteSource, socket: Duplex): Promise<void> {
  const answered = await answerOf(request, source)
  const isError = typeof answered === 'number'
  const head = Buffer.alloc(16)
  head.writeUInt32BE(simpleReplyMagic, 0)
  head.writeUInt32BE(isError ? answered : errno.none, 4)
  request.cookie.copy(head, 8)
  socket.write(isError ? head : Buffer.concat([head, answered]))
}

/**
 * Serves one client until it disconnects.
 * @param exports by name; a read that fails is answered with EIO, and the connection goes on
 */
export async function serveNbd(socket: Duplex, exports: ReadonlyMap<string, ByteSource>): Promise<void> {
  const reader = byteReader(socket)
  const slots = createSlots(mostOpen)
  const open = new Set<Promise<void>>()
  const { signal } = new AbortController()
  try {
    const source = await acceptExport(socket, reader, exports)
    while (source) {
      const request = await nextRequest(reader)
      if (!request || request.type === command.disconnect) break
      // The bytes of a write follow its head.
      if (request.type === command.write) await reader.read(request.length)
      const giveBack = await slots.take(signal)
      const answering = answer(request, source, socket).finally(() => {
        open.delete(answering)
        giveBack()
      })
      open.add(answering)
    }
  } finally {
    await Promise.all(open)
    socket.end()
  }
}

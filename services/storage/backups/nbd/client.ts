import type { Duplex } from 'node:stream'
import { UnavailableError } from '#shared/errors.ts'
import { byteReader } from './bytes.ts'
import { shakeHands } from './handshake.ts'
import { command, requestMagic, simpleReplyMagic } from './protocol.ts'

const structuredMagic = 0x668e33ef
/** Types of structured replies; those with the highest bit set are errors. */
const reply = { none: 0, data: 1, hole: 2, status: 5 }
const lastChunk = 1
const readsAsZeros = 2

/** A range of an image; `isZero`: it reads as zeros. */
export type Extent = { length: number; isZero: boolean }

type Pending = {
  offset: number
  /** Receives the bytes of a read. */
  target?: Buffer
  extents: Extent[]
  failure?: Error
  settle: (error?: Error) => void
}

/** Reads and writes an image that qemu-nbd has opened. Several requests may be open at a time. */
export async function connectNbd(socket: Duplex) {
  const reader = byteReader(socket)
  const { sizeBytes, contextId } = await shakeHands(socket, reader)
  const pending = new Map<bigint, Pending>()
  let count = 0n
  let closed: Error | undefined

  function fail(error: Error): void {
    closed ??= error
    for (const { settle } of pending.values()) settle(error)
    pending.clear()
  }

  function request(type: number, offset: number, length: number, more: { data?: Buffer; target?: Buffer } = {}) {
    return new Promise<Pending>((resolve, reject) => {
      if (closed) return reject(closed)
      const cookie = ++count
      const head = Buffer.alloc(28)
      head.writeUInt32BE(requestMagic, 0)
      head.writeUInt16BE(type, 6)
      head.writeBigUInt64BE(cookie, 8)
      head.writeBigUInt64BE(BigInt(offset), 16)
      head.writeUInt32BE(length, 24)
      const asked: Pending = {
        offset,
        extents: [],
        ...(more.target && { target: more.target }),
        settle: (error) => (error ? reject(error) : resolve(asked)),
      }
      pending.set(cookie, asked)
      socket.write(head)
      if (more.data) socket.write(more.data)
    })
  }

  const failed = (errno: number, words = '') =>
    new UnavailableError(`qemu-nbd cannot read or write the image: ${words || `error ${errno}`}`)

  /** Reads the payload of one structured reply into the request. */
  async function take(asked: Pending, type: number, length: number): Promise<void> {
    if (type === reply.data && asked.target) {
      const at = Number((await reader.read(8)).readBigUInt64BE(0)) - asked.offset
      await reader.readInto(asked.target.subarray(at, at + length - 8))
      return
    }
    const body = await reader.read(length)
    if (type === reply.hole && asked.target) {
      const at = Number(body.readBigUInt64BE(0)) - asked.offset
      asked.target.fill(0, at, at + body.readUInt32BE(8))
    } else if (type === reply.status && body.readUInt32BE(0) === contextId) {
      for (let at = 4; at < length; at += 8)
        asked.extents.push({
          length: body.readUInt32BE(at),
          isZero: (body.readUInt32BE(at + 4) & readsAsZeros) !== 0,
        })
    } else if (type >= 2 ** 15) {
      const words = body.subarray(6, 6 + body.readUInt16BE(4)).toString('utf8')
      asked.failure = failed(body.readUInt32BE(0), words)
    }
  }

  async function receive(): Promise<void> {
    for (;;) {
      const magic = (await reader.read(4)).readUInt32BE(0)
      if (magic !== simpleReplyMagic && magic !== structuredMagic)
        throw new UnavailableError('qemu-nbd sends no replies')
      const isSimple = magic === simpleReplyMagic
      const head = await reader.read(isSimple ? 12 : 16)
      const cookie = head.readBigUInt64BE(4)
      const asked = pending.get(cookie)
      if (!asked) throw new UnavailableError('qemu-nbd answers a request that was not made')
      if (isSimple) {
        const errno = head.readUInt32BE(0)
        if (errno !== 0) asked.failure = failed(errno)
      } else await take(asked, head.readUInt16BE(2), head.readUInt32BE(12))
      if (!isSimple && (head.readUInt16BE(0) & lastChunk) === 0) continue
      pending.delete(cookie)
      asked.settle(asked.failure)
    }
  }
  socket.on('error', fail)
  const ended = receive().catch((error: unknown) => fail(error as Error))

  return {
    sizeBytes,
    async read(offset: number, length: number): Promise<Buffer> {
      const target = Buffer.allocUnsafe(length)
      await request(command.read, offset, length, { target })
      return target
    },
    write: async (offset: number, data: Buffer): Promise<void> =>
      void (await request(command.write, offset, data.length, { data })),
    flush: async (): Promise<void> => void (await request(command.flush, 0, 0)),
    /** The ranges from an offset on; they may end before `length`. */
    extents: async (offset: number, length: number): Promise<Extent[]> =>
      (await request(command.status, offset, length)).extents,
    async close(): Promise<void> {
      closed ??= new UnavailableError('The image was closed')
      const head = Buffer.alloc(28)
      head.writeUInt32BE(requestMagic, 0)
      head.writeUInt16BE(command.disconnect, 6)
      socket.end(head)
      await ended
    },
    destroy: (error: Error) => {
      fail(error)
      socket.destroy()
    },
  }
}
export type Nbd = Awaited<ReturnType<typeof connectNbd>>

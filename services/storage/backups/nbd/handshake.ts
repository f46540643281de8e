/** The newstyle handshake of NBD (doc/proto.md of NetworkBlockDevice/nbd). */
import type { Writable } from 'node:stream'
import { UnavailableError } from '#shared/errors.ts'
import type { ByteReader } from './bytes.ts'
import { nbdMagic, option, optionMagic, optionReply, optionReplyMagic, u16, u32 } from './protocol.ts'

const fixedNewstyle = 1
/** The client flags: fixed newstyle, and no zeroes after the handshake. */
const clientFlags = 3

/** The context whose ranges tell which bytes read as zeros. */
const allocation = 'base:allocation'

function text(value: string): Buffer {
  const bytes = Buffer.from(value)
  const length = Buffer.alloc(4)
  length.writeUInt32BE(bytes.length)
  return Buffer.concat([length, bytes])
}

function sendOption(socket: Writable, kind: number, data: Buffer): void {
  const head = Buffer.alloc(16)
  head.writeBigUInt64BE(optionMagic, 0)
  head.writeUInt32BE(kind, 8)
  head.writeUInt32BE(data.length, 12)
  socket.write(Buffer.concat([head, data]))
}

/** Sends an option and reads its replies up to the last. @throws UnavailableError when the server refuses it */
async function ask(socket: Writable, { read }: ByteReader, kind: number, data: Buffer) {
  sendOption(socket, kind, data)
  const replies: { type: number; data: Buffer }[] = []
  for (;;) {
    const head = await read(20)
    const [magic, type, length] = [head.readBigUInt64BE(0), head.readUInt32BE(12), head.readUInt32BE(16)]
    if (magic !== optionReplyMagic) throw new UnavailableError('qemu-nbd does not speak NBD')
    const body = await read(length)
    if (type === optionReply.ack) return replies
    // The highest bit is set for errors.
    if (type >= 2 ** 31) throw new UnavailableError(`qemu-nbd refuses option ${kind}: ${body.toString('utf8')}`)
    replies.push({ type, data: body })
  }
}

/** Opens the default export. `contextId`: of the ranges of zeros. */
export async function shakeHands(
  socket: Writable,
  reader: ByteReader,
): Promise<{ sizeBytes: number; flags: number; contextId: number }> {
  const greeting = await reader.read(18)
  const isNewstyle = (greeting.readUInt16BE(16) & fixedNewstyle) !== 0
  if (greeting.readBigUInt64BE(0) !== nbdMagic || greeting.readBigUInt64BE(8) !== optionMagic || !isNewstyle)
    throw new UnavailableError('qemu-nbd does not speak NBD')
  socket.write(u32(clientFlags))
  await ask(socket, reader, option.structuredReply, Buffer.alloc(0))
  const contexts = await ask(socket, reader, option.setMetaContext, Buffer.concat([text(''), u32(1), text(allocation)]))
  const context = contexts.find(({ type }) => type === optionReply.metaContext)
  const answers = await ask(socket, reader, option.go, Buffer.concat([text(''), u16(0)]))
  const described = answers.find(({ type, data }) => type === optionReply.info && data.readUInt16BE(0) === 0)
  if (!context || !described) throw new UnavailableError('qemu-nbd does not tell the size of the image')
  return {
    sizeBytes: Number(described.data.readBigUInt64BE(2)),
    flags: described.data.readUInt16BE(10),
    contextId: context.data.readUInt32BE(0),
  }
}

import type { Duplex } from 'node:stream'
import { BadRequestError } from '#shared/errors.ts'
import type { ByteReader } from './bytes.ts'
import { nbdMagic, option, optionMagic, optionReply, optionReplyMagic, u16, u32, u64 } from './protocol.ts'

/** Content that is read in any order. */
export type ByteSource = {
  size_bytes: number
  /** Reads bytes that it has. */
  read: (offset: number, length: number) => Promise<Buffer>
}

/** Largest read of a client, which is told of it. */
export const mostReadBytes = 4 * 2 ** 20
/** The option of a client that is no attack has less: a name of 4096 bytes, and a few requests for information. */
const mostOptionBytes = 8192

/** Flags of the handshake: fixed newstyle, no zeroes behind an export. */
const handshakeFlags = 3
/** Flags of an export: it has flags, is read-only, takes flushes, and several connections see the same. */
const exportFlags = 0b1_0000_0111
const refused = { unsupported: 2 ** 31 + 1, invalid: 2 ** 31 + 3, unknown: 2 ** 31 + 6 }
const informationOf = { export: 0, blockSize: 3 }

type Asked = { kind: number; data: Buffer }

async function nextOption({ read }: ByteReader): Promise<Asked> {
  const head = await read(16)
  const length = head.readUInt32BE(12)
  if (head.readBigUInt64BE(0) !== optionMagic || length > mostOptionBytes)
    throw new BadRequestError('The client does not speak NBD')
  return { kind: head.readUInt32BE(8), data: await read(length) }
}

/** The name of an export in the data of the options "info" and "go"; null when they are cut off. */
function nameIn(data: Buffer): string | null {
  if (data.length < 6) return null
  const length = data.readUInt32BE(0)
  return length > data.length - 6 ? null : data.toString('utf8', 4, 4 + length)
}

/**
 * Negotiates with a client until it has chosen an export.
 * @returns null when it leaves instead
 * @throws BadRequestError when it does not speak the protocol
 */
export async function acceptExport(
  socket: Duplex,
  reader: ByteReader,
  exports: ReadonlyMap<string, ByteSource>,
): Promise<ByteSource | null> {
  const reply = (kind: number, type: number, data: Buffer = Buffer.alloc(0)) =>
    socket.write(Buffer.concat([u64(optionReplyMagic), u32(kind), u32(type), u32(data.length), data]))

  socket.write(Buffer.concat([u64(nbdMagic), u64(optionMagic), u16(handshakeFlags)]))
  const clientFlags = (await reader.read(4)).readUInt32BE(0)
  for (;;) {
    const { kind, data } = await nextOption(reader)
    if (kind === option.abort) {
      reply(kind, optionReply.ack)
      return null
    }
    if (kind === option.exportName) {
      const source = exports.get(data.toString('utf8'))
      // This option has no reply for an export that is not there.
      if (!source) return null
      const zeros = Buffer.alloc((clientFlags & 2) === 0 ? 124 : 0)
      socket.write(Buffer.concat([u64(source.size_bytes), u16(exportFlags), zeros]))
      return source
    }
    if (kind === option.list) {
      for (const name of exports.keys()) {
        const bytes = Buffer.from(name)
        reply(kind, optionReply.server, Buffer.concat([u32(bytes.length), bytes]))
      }
      reply(kind, optionReply.ack)
      continue
    }
    if (kind !== option.info && kind !== option.go) {
      reply(kind, refused.unsupported)
      continue
    }
    const name = nameIn(data)
    const source = name === null ? undefined : exports.get(name)
    if (!source) {
      reply(kind, name === null ? refused.invalid : refused.unknown)
      continue
    }
    const { export: size, blockSize } = informationOf
    reply(kind, optionReply.info, Buffer.concat([u16(size), u64(source.size_bytes), u16(exportFlags)]))
    reply(kind, optionReply.info, Buffer.concat([u16(blockSize), u32(1), u32(4096), u32(mostReadBytes)]))
    reply(kind, optionReply.ack)
    if (kind === option.go) return source
  }
}

import type { Readable } from 'node:stream'
import { UnavailableError } from '#shared/errors.ts'

/** Reads exact numbers of bytes from a stream. @throws UnavailableError when it ends before */
export function byteReader(stream: Readable) {
  const chunks = stream[Symbol.asyncIterator]() as AsyncIterator<Buffer>
  let rest: Buffer = Buffer.alloc(0)

  async function readInto(target: Buffer): Promise<Buffer> {
    for (let at = 0; at < target.length;) {
      if (rest.length === 0) {
        const { value, done } = await chunks.next()
        if (done) throw new UnavailableError('qemu-nbd has closed the connection')
        rest = value
      }
      const taken = rest.copy(target, at)
      rest = rest.subarray(taken)
      at += taken
    }
    return target
  }

  return { readInto, read: (length: number): Promise<Buffer> => readInto(Buffer.allocUnsafe(length)) }
}
export type ByteReader = ReturnType<typeof byteReader>

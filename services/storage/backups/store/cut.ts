/**
 * Cuts a stream of bytes where its content says so: bytes that are added or taken away move the cuts of their surroundings
 * only, and all chunks behind them are found in the store again. The rolling hash is that of FastCDC (Xia et al., 2016,
 * "gear"): each byte shifts it by one bit and adds a random number of that byte, so 32 bytes decide about a cut.
 */
import { createHash } from 'node:crypto'
import { chunkBytes } from './chunks.ts'
import type { Encryption } from './encryption.ts'

/** No cut before so many bytes, and one at the latest after {@link chunkBytes}. */
const minBytes = 256 * 1024
/** The highest bits of the hash are zeros at a cut: once in 1 MiB. */
const cutBits = 20

/** Random numbers of the 256 bytes. They follow from the key of an encrypted store, so that cuts tell nothing without it. */
export async function gearOf({ idOf }: Pick<Encryption, 'idOf'>): Promise<Uint32Array> {
  const seed = await idOf(Buffer.from('cuts of archives'))
  const bytes = Buffer.concat(
    Array.from({ length: 32 }, (_, index) => createHash('sha256').update(`${seed} ${index}`).digest()),
  )
  return Uint32Array.from({ length: 256 }, (_, index) => bytes.readUInt32LE(index * 4))
}

/** The end of the first chunk of a buffer, or 0 when more bytes have to decide. @param from bytes before it were looked at */
function endOfChunk(buffer: Buffer, from: number, state: { hash: number }, gear: Uint32Array): number {
  let { hash } = state
  const last = Math.min(buffer.length, chunkBytes)
  for (let at = Math.max(from, minBytes - 64); at < last; at++) {
    hash = ((hash << 1) + gear[buffer[at]!]!) | 0
    if (hash >>> (32 - cutBits) === 0 && at >= minBytes) return at + 1
  }
  state.hash = hash
  return last === chunkBytes ? chunkBytes : 0
}

/** The chunks of a stream: each of 256 KiB to 4 MiB, the last one may be shorter. */
export async function* cut(source: AsyncIterable<Buffer>, gear: Uint32Array): AsyncGenerator<Buffer> {
  // Room for a chunk and the piece that it ends in.
  const buffer = Buffer.allocUnsafe(2 * chunkBytes)
  let [length, looked] = [0, 0]
  const state = { hash: 0 }
  for await (const piece of source) {
    for (let taken = 0; taken < piece.length;) {
      const count = Math.min(piece.length - taken, buffer.length - length)
      piece.copy(buffer, length, taken, taken + count)
      length += count
      taken += count
      for (let end: number; (end = endOfChunk(buffer.subarray(0, length), looked, state, gear)) > 0;) {
        yield Buffer.from(buffer.subarray(0, end))
        buffer.copyWithin(0, end, length)
        length -= end
        looked = 0
        state.hash = 0
      }
      looked = length
    }
  }
  if (length > 0) yield buffer.subarray(0, length)
}

import { createHash } from 'node:crypto'
import { promisify } from 'node:util'
import { constants, zstdCompress, zstdDecompress } from 'node:zlib'
import type { Encryption } from './encryption.ts'
import { DamagedPack } from './pack.ts'

/** Disks are cut into chunks of this size; the last one of a disk may be shorter. */
export const chunkBytes = 4 * 2 ** 20

/** A disk as the ids of its chunks in order. A number stands for so many chunks of zeros, which are not stored. */
export type ChunkList = (string | number)[]

const compressing = promisify(zstdCompress)
const decompressing = promisify(zstdDecompress)
// A level above 1 takes more time than the disks of a backup store. The checksum finds a changed frame without its id.
const params = { [constants.ZSTD_c_compressionLevel]: 1, [constants.ZSTD_c_checksumFlag]: 1 }

/** Incompressible bytes grow by less than this. */
const frameRoom = 64 * 1024

/**
 * Compresses a chunk. The output buffer has room for all of it: with Node's default of 16 KiB each piece of that size would
 * be a task of the thread pool, which takes three times as long.
 */
async function compress(chunk: Uint8Array): Promise<Buffer> {
  const how = { params, chunkSize: chunk.length + frameRoom, pledgedSrcSize: chunk.length }
  const frame = await compressing(chunk, how)
  // A short frame would keep the whole output buffer in memory until its pack is written.
  return frame.length < chunk.length / 2 ? Buffer.from(frame) : frame
}

const nameOf = (id: string): string => `chunk/${id}`

/** The frame of a chunk, as it is stored in a pack. */
export const encodeChunk = async (id: string, chunk: Buffer, { encrypt }: Encryption): Promise<Buffer> =>
  encrypt(nameOf(id), await compress(chunk))

/** The smallest output buffer that Node takes. */
const minPieceBytes = 64

/** The chunk of a stored frame. @throws DamagedPack when it is not the chunk of this id */
export async function decodeChunk(
  stored: Buffer,
  { id, size }: { id: string; size: number },
  { decrypt, idOf }: Encryption,
): Promise<Buffer> {
  const frame = await decrypt(nameOf(id), stored)
  // One byte more than it may have: a frame that holds more is damaged, also with a right checksum.
  const how = { maxOutputLength: size + 1, chunkSize: Math.max(minPieceBytes, size + 1) }
  const chunk = await decompressing(frame, how).catch((error: unknown) => {
    throw new DamagedPack(`has a frame that cannot be decompressed: ${(error as Error).message}`)
  })
  if (chunk.length !== size || (await idOf(chunk)) !== id)
    throw new DamagedPack(`has a chunk that is not ${id.slice(0, 12)}`)
  return chunk
}

const zeros = Buffer.alloc(chunkBytes)
export const isZero = (chunk: Buffer): boolean => zeros.subarray(0, chunk.length).equals(chunk)

/** Adds a chunk to a list; null is one of zeros. */
export function pushChunk(list: ChunkList, id: string | null): void {
  const last = list.at(-1)
  if (id !== null) list.push(id)
  else if (typeof last === 'number') list[list.length - 1] = last + 1
  else list.push(1)
}

/** Every chunk of a list with its number; those of zeros are left out. */
export function* chunksIn(list: ChunkList): Generator<{ index: number; id: string }> {
  let index = 0
  for (const each of list)
    if (typeof each === 'number') index += each
    else yield { index: index++, id: each }
}

export const countOf = (list: ChunkList): number =>
  list.reduce<number>((sum, each) => sum + (typeof each === 'number' ? each : 1), 0)

/**
 * The digest of a whole disk: SHA-256 of the ids of its chunks in order, those of zeros as well. A hole costs nothing, and it is
 * computed again of a restored disk.
 */
export function digestOf(list: ChunkList, sizeBytes: number, { idOfZeros }: Pick<Encryption, 'idOfZeros'>): string {
  const digest = createHash('sha256')
  const count = Math.ceil(sizeBytes / chunkBytes)
  let index = 0
  for (const each of list) {
    if (typeof each === 'string') {
      digest.update(Buffer.from(each, 'hex'))
      index++
      continue
    }
    for (const end = index + each; index < end; index++)
      digest.update(idOfZeros(index === count - 1 ? sizeBytes - index * chunkBytes : chunkBytes))
  }
  return digest.digest('hex')
}

/**
 * The format of a pack: frames of zstd, one for each chunk, then a table of them, then a trailer of twelve bytes.
 *
 *     frame … frame | table | length of the table, 4 bytes, little-endian | "HXPACK01"
 *
 * A row of the table is 40 bytes: the SHA-256 of the chunk, the length of its frame, and the length of the chunk, each of
 * these four bytes, little-endian. Frames lie one behind the other in the order of the rows. The id of a pack is the SHA-256
 * of its table.
 *
 * In an encrypted store frames and table are encrypted, each by itself; the id of the pack is that of the bare table.
 */
import { createHash } from 'node:crypto'

/** A chunk in a pack. `offset`, `length`: of its frame; `size`: of the chunk itself. */
export type Row = { id: string; offset: number; length: number; size: number }

const magic = Buffer.from('HXPACK01', 'latin1')
const rowBytes = 40
/** Bytes behind the table. */
export const trailerBytes = 4 + magic.length

export const keyOfPack = (id: string): string => `packs/${id.slice(0, 2)}/${id}`
export const idOfPackKey = (key: string): string => key.slice(key.lastIndexOf('/') + 1)

export const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

/** Encrypts or decrypts the bytes that a store has under a name. */
export type Transform = (name: string, bytes: Buffer) => Promise<Buffer>

type Frame = { id: string; size: number; frame: Buffer }

/** A pack of frames, which are as they are stored, and its id. */
export async function encodePack(
  frames: readonly Frame[],
  { encrypt }: { encrypt: Transform },
): Promise<{ id: string; bytes: Buffer; rows: Row[] }> {
  const table = Buffer.alloc(frames.length * rowBytes)
  const rows: Row[] = []
  let offset = 0
  for (const [index, { id, size, frame }] of frames.entries()) {
    const at = index * rowBytes
    table.write(id, at, 'hex')
    table.writeUInt32LE(frame.length, at + 32)
    table.writeUInt32LE(size, at + 36)
    rows.push({ id, offset, length: frame.length, size })
    offset += frame.length
  }
  const id = sha256(table)
  const stored = await encrypt(keyOfPack(id), table)
  const length = Buffer.alloc(4)
  length.writeUInt32LE(stored.length)
  const bytes = Buffer.concat([...frames.map(({ frame }) => frame), stored, length, magic])
  return { id, bytes, rows }
}

/** A pack that is damaged, in words for people. */
export class DamagedPack extends Error {}

/** Length of the table of a pack, from the bytes at its end. @throws DamagedPack */
export function tableLength(end: Buffer): number {
  const trailer = end.subarray(-trailerBytes)
  if (trailer.length < trailerBytes || !trailer.subarray(4).equals(magic)) throw new DamagedPack('has no end of a pack')
  return trailer.readUInt32LE(0)
}

/**
 * Reads the table of a pack.
 * @param end its last bytes, the table among them
 * @param sizeBytes of the whole pack
 * @throws DamagedPack unless the table is that of the id, and its frames fill the pack
 */
export async function readTable(
  id: string,
  end: Buffer,
  sizeBytes: number,
  { decrypt }: { decrypt: Transform },
): Promise<Row[]> {
  const length = tableLength(end)
  const stored = end.subarray(-trailerBytes - length, -trailerBytes)
  if (stored.length !== length) throw new DamagedPack('has a table that is cut off')
  const table = await decrypt(keyOfPack(id), stored)
  if (table.length % rowBytes !== 0) throw new DamagedPack('has a table that is cut off')
  if (sha256(table) !== id) throw new DamagedPack('has the table of another pack, or a changed one')
  const rows: Row[] = []
  let offset = 0
  for (let at = 0; at < table.length; at += rowBytes) {
    const frame = table.readUInt32LE(at + 32)
    rows.push({ id: table.toString('hex', at, at + 32), offset, length: frame, size: table.readUInt32LE(at + 36) })
    offset += frame
  }
  if (offset + length + trailerBytes !== sizeBytes)
    throw new DamagedPack(`has ${sizeBytes} bytes instead of ${offset + length + trailerBytes}`)
  return rows
}

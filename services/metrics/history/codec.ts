import { endianness } from 'node:os'
import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib'

/**
 * Columns of numbers as bytes. Each column is a tag, its length in bytes and its content, so that a reader skips those
 * that it does not need. Whole numbers, and decimal fractions that are whole after scaling, are stored as differences:
 * zigzag and varint, as in protocol buffers. Other numbers are stored as they are, the bytes of each XORed with those of
 * the number before. Missing numbers are in a bitmap. All of it is compressed with zstd.
 */

const tags = { missing: 0, constant: 1, integers: 2, doubles: 3, floats: 4 } as const
const withBitmap = 8
/** Loads have two decimals, processor times six at most. */
const scales = [1, 100, 1e6] as const
/** The difference of larger numbers, doubled by zigzag, is not exact. */
const largest = 2 ** 51

const level = { params: { [constants.ZSTD_c_compressionLevel]: 1 } }

/** @param lossy numbers that are no decimal fractions are kept to 24 bits */
export function encodeColumns(columns: readonly Float64Array[], { lossy = false } = {}): Buffer {
  const rows = columns[0]?.length ?? 0
  // A varint of 53 bits has eight bytes; the heads and bitmaps come on top.
  const bytes = Buffer.alloc(8 + columns.reduce((sum) => sum + 16 + rows * 9, 0))
  let at = bytes.writeUInt32LE(rows, 0)
  for (const column of columns) at = writeColumn(bytes, at, column, lossy)
  return zstdCompressSync(bytes.subarray(0, at), level)
}

function writeColumn(bytes: Buffer, start: number, column: Float64Array, lossy: boolean): number {
  const present = presentIn(column)
  const head = start + 5
  if (present.length === 0) return finish(bytes, start, head, tags.missing)
  const hasGaps = present.length < column.length
  let at = hasGaps ? writeBitmap(bytes, head, column) : head
  const flag = hasGaps ? withBitmap : 0
  if (isConstant(present)) {
    at = bytes.writeDoubleLE(present[0]!, at)
    return finish(bytes, start, at, tags.constant + flag)
  }
  const scale = scales.findIndex((each) => areWhole(present, each))
  if (scale >= 0) {
    bytes[at] = scale
    return finish(bytes, start, writeDifferences(bytes, at + 1, present, scales[scale]!), tags.integers + flag)
  }
  const width = lossy ? 4 : 8
  return finish(bytes, start, writeXor(bytes, at, present, width), (lossy ? tags.floats : tags.doubles) + flag)
}

/** The values that are not missing: the column itself if that is all of them. */
function presentIn(column: Float64Array): Float64Array {
  for (let row = 0; row < column.length; row++)
    if (Number.isNaN(column[row]!)) return column.filter((value) => !Number.isNaN(value))
  return column
}

function isConstant(values: Float64Array): boolean {
  const [first] = values
  for (let index = 1; index < values.length; index++) if (values[index] !== first) return false
  return true
}

function finish(bytes: Buffer, start: number, end: number, tag: number): number {
  bytes[start] = tag
  bytes.writeUInt32LE(end - start - 5, start + 1)
  return end
}

function areWhole(values: Float64Array, scale: number): boolean {
  for (let index = 0; index < values.length; index++) {
    const scaled = Math.round(values[index]! * scale)
    if (!(Math.abs(scaled) <= largest) || scaled / scale !== values[index]) return false
  }
  return true
}

function writeBitmap(bytes: Buffer, start: number, column: Float64Array): number {
  for (let row = 0; row < column.length; row++)
    if (!Number.isNaN(column[row]!)) bytes[start + (row >> 3)]! |= 1 << (row & 7)
  return start + Math.ceil(column.length / 8)
}

function writeDifferences(bytes: Buffer, start: number, values: Float64Array, scale: number): number {
  let [at, before] = [start, 0]
  for (const value of values) {
    const scaled = Math.round(value * scale)
    const difference = scaled - before
    before = scaled
    // Zigzag: small numbers of either sign become small. Beyond 32 bits there are no bit operations.
    let rest = difference < 0 ? -2 * difference - 1 : 2 * difference
    while (rest >= 128) {
      bytes[at++] = (rest % 128) + 128
      rest = Math.floor(rest / 128)
    }
    bytes[at++] = rest
  }
  return at
}

function writeXor(bytes: Buffer, start: number, values: Float64Array, width: 4 | 8): number {
  const now = Buffer.alloc(8)
  const before = Buffer.alloc(8)
  let at = start
  for (const value of values) {
    if (width === 4) now.writeFloatBE(value)
    else now.writeDoubleBE(value)
    for (let byte = 0; byte < width; byte++) bytes[at++] = now[byte]! ^ before[byte]!
    now.copy(before)
  }
  return at
}

const skipped = new Float64Array(0)

/** @param wanted indexes of the columns to decode; the others are empty */
export function decodeColumns(data: Uint8Array, wanted?: ReadonlySet<number>): Float64Array[] {
  const bytes = zstdDecompressSync(data)
  const rows = bytes.readUInt32LE(0)
  const columns: Float64Array[] = []
  for (let at = 4; at < bytes.length;) {
    const end = at + 5 + bytes.readUInt32LE(at + 1)
    const isWanted = !wanted || wanted.has(columns.length)
    columns.push(isWanted ? readColumn(bytes, at, rows) : skipped)
    at = end
  }
  return columns
}

function readColumn(bytes: Buffer, start: number, rows: number): Float64Array {
  const tag = bytes[start]! % withBitmap
  if (tag === tags.missing) return new Float64Array(rows).fill(NaN)
  const bitmap = start + 5
  if (bytes[start]! < withBitmap) return readValues(bytes, bitmap, tag, rows)
  const column = new Float64Array(rows).fill(NaN)
  const isThere = (row: number) => (bytes[bitmap + (row >> 3)]! & (1 << (row & 7))) !== 0
  let count = 0
  for (let row = 0; row < rows; row++) if (isThere(row)) count++
  const values = readValues(bytes, bitmap + Math.ceil(rows / 8), tag, count)
  let next = 0
  for (let row = 0; row < rows; row++) if (isThere(row)) column[row] = values[next++]!
  return column
}

function readValues(bytes: Buffer, start: number, tag: number, count: number): Float64Array {
  const values = new Float64Array(count)
  if (tag === tags.constant) return values.fill(bytes.readDoubleLE(start))
  if (tag === tags.integers) readDifferences(bytes, start + 1, scales[bytes[start]!]!, values)
  else readXor(bytes, start, tag === tags.floats ? 4 : 8, values)
  return values
}

function readDifferences(bytes: Buffer, start: number, scale: number, values: Float64Array): void {
  let [at, sum] = [start, 0]
  for (let index = 0; index < values.length; index++) {
    let [rest, factor, byte] = [0, 1, bytes[at++]!]
    while (byte >= 128) {
      rest += (byte - 128) * factor
      factor *= 128
      byte = bytes[at++]!
    }
    rest += byte * factor
    sum += rest % 2 === 1 ? -(rest + 1) / 2 : rest / 2
    values[index] = sum / scale
  }
}

const words = new Int32Array(2)
const asFloat = new Float32Array(words.buffer)
const asDouble = new Float64Array(words.buffer)
/** Index of the word with the sign, by the byte order of this machine. */
const [upper, lower] = endianness() === 'LE' ? [1, 0] : [0, 1]

function readXor(bytes: Buffer, start: number, width: 4 | 8, values: Float64Array): void {
  words.fill(0)
  let at = start
  const word = () => {
    at += 4
    return (bytes[at - 4]! << 24) | (bytes[at - 3]! << 16) | (bytes[at - 2]! << 8) | bytes[at - 1]!
  }
  for (let index = 0; index < values.length; index++) {
    if (width === 4) {
      words[0]! ^= word()
      values[index] = asFloat[0]!
      continue
    }
    words[upper]! ^= word()
    words[lower]! ^= word()
    values[index] = asDouble[0]!
  }
}

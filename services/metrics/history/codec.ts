import { endianness } from 'node:os'
import { constants, deflateRawSync, inflateRawSync, zstdCompressSync, zstdDecompressSync } from 'node:zlib'

/**
 * Columns of numbers as bytes. Each column is a tag, its length in bytes and its content, so that a reader skips those
 * that it does not need. Whole numbers, and decimal fractions that are whole after scaling, are stored as differences:
 * zigzag and varint, as in protocol buffers. Other numbers are stored as they are, the bytes of each XORed with those of
 * the number before. Missing numbers are in a bitmap.
 *
 * There are two layouts. `whole` is one frame of zstd (RFC 8878): the number of rows and all columns. `split` is for readers of
 * a few columns out of many: the byte 1, the numbers of rows and of columns, then for each segment of eight columns its length
 * and its columns as raw deflate (RFC 1951), which costs less to begin than zstd. All numbers of the layouts are u32 little endian.
 */

const tags = { missing: 0, constant: 1, integers: 2, doubles: 3, floats: 4 } as const
const withBitmap = 8
/** Loads have two decimals, processor times six at most. */
const scales = [1, 100, 1e6] as const
/** The difference of larger numbers, doubled by zigzag, is not exact. */
const largest = 2 ** 51

const level = { params: { [constants.ZSTD_c_compressionLevel]: 1 } }

/** First byte of the layout `split`; a frame of zstd begins with 0x28. */
const splitMark = 1
const segmentColumns = 8

type Layout = 'whole' | 'split'

/**
 * @param columns all of one length
 * @param lossy numbers that are no decimal fractions are kept to 24 bits
 */
export function encodeColumns(
  columns: readonly Float64Array[],
  { lossy = false, layout = 'whole' }: { lossy?: boolean; layout?: Layout } = {},
): Buffer {
  const rows = columns[0]?.length ?? 0
  if (layout === 'whole') return zstdCompressSync(Buffer.concat([u32(rows), plainColumns(columns, lossy)]), level)
  const segments: Buffer[] = [Buffer.from([splitMark]), u32(rows), u32(columns.length)]
  for (let first = 0; first < columns.length; first += segmentColumns) {
    const plain = plainColumns(columns.slice(first, first + segmentColumns), lossy)
    const segment = deflateRawSync(plain, { level: constants.Z_BEST_SPEED })
    segments.push(u32(segment.length), segment)
  }
  return Buffer.concat(segments)
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}

function plainColumns(columns: readonly Float64Array[], lossy: boolean): Buffer {
  const rows = columns[0]?.length ?? 0
  // A varint of 53 bits has eight bytes; the heads and bitmaps come on top.
  const bytes = Buffer.alloc(columns.length * (16 + rows * 9))
  let at = 0
  for (const column of columns) at = writeColumn(bytes, at, column, lossy)
  return bytes.subarray(0, at)
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
  const columns: Float64Array[] = []
  if (data[0] !== splitMark) {
    const bytes = zstdDecompressSync(data)
    readColumns(bytes, 4, bytes.readUInt32LE(0), columns, wanted)
    return columns
  }
  const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength)
  const [rows, count] = [bytes.readUInt32LE(1), bytes.readUInt32LE(5)]
  for (let at = 9; at < bytes.length;) {
    const end = at + 4 + bytes.readUInt32LE(at)
    const next = Math.min(count, columns.length + segmentColumns)
    if (isAnyWanted(columns.length, next, wanted))
      readColumns(inflateRawSync(bytes.subarray(at + 4, end)), 0, rows, columns, wanted)
    else while (columns.length < next) columns.push(skipped)
    at = end
  }
  return columns
}

/** Is a column from `first` to before `next` wanted? */
function isAnyWanted(first: number, next: number, wanted: ReadonlySet<number> | undefined): boolean {
  if (!wanted) return true
  for (let index = first; index < next; index++) if (wanted.has(index)) return true
  return false
}

/** Appends the columns that stand from `start` to the end of `bytes`. */
function readColumns(
  bytes: Buffer,
  start: number,
  rows: number,
  columns: Float64Array[],
  wanted: ReadonlySet<number> | undefined,
): void {
  for (let at = start; at < bytes.length;) {
    const end = at + 5 + bytes.readUInt32LE(at + 1)
    const isWanted = !wanted || wanted.has(columns.length)
    columns.push(isWanted ? readColumn(bytes, at, rows) : skipped)
    at = end
  }
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
    let byte = bytes[at++]!
    let low = byte & 127
    for (let shift = 7; byte >= 128 && shift < 28; shift += 7) {
      byte = bytes[at++]!
      low |= (byte & 127) << shift
    }
    if (byte < 128) sum += (low >>> 1) ^ -(low & 1)
    else {
      // Beyond 28 bits there are no bit operations.
      let [rest, factor] = [low, 2 ** 28]
      while (byte >= 128) {
        byte = bytes[at++]!
        rest += (byte & 127) * factor
        factor *= 128
      }
      sum += rest % 2 === 1 ? -(rest + 1) / 2 : rest / 2
    }
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

import { closeSync, existsSync, openSync, readSync, statSync } from 'node:fs'

/*
 * SQLite's write-ahead log, read to find damage that SQLite takes for its end: it uses the log up to the first frame
 * whose checksum is wrong, and drops all that follows in silence. Format: https://sqlite.org/fileformat2.html#walformat
 */
const HEADER_BYTES = 32
const FRAME_HEADER_BYTES = 24
const MAGIC = 0x377f0682
const SALTS_AT = 16
const FRAME_SALTS_AT = 8

type Sums = readonly [number, number]

const sum = (bytes: Buffer, from: number, to: number, littleEndian: boolean, [first, second]: Sums): Sums => {
  const view = new DataView(bytes.buffer, bytes.byteOffset)
  let [a, b] = [first, second]
  for (let at = from; at < to; at += 8) {
    a = (a + view.getUint32(at, littleEndian) + b) >>> 0
    b = (b + view.getUint32(at + 4, littleEndian) + a) >>> 0
  }
  return [a, b]
}

const isSum = (bytes: Buffer, at: number, [a, b]: Sums): boolean =>
  bytes.readUInt32BE(at) === a && bytes.readUInt32BE(at + 4) === b

/** The commits in a log: which pages they wrote, and how many pages the file has after the last of them. */
export type Log = {
  pages: Set<number>
  filePages: number | undefined
  /** Set when acknowledged commits are behind a damaged place. */
  damage: string | undefined
}

const NOTHING: Log = { pages: new Set(), filePages: undefined, damage: undefined }

/** The frames that were committed and synchronised, as the shared memory file beside the log says; it outlives a kill. */
const knownFrames = (shmFile: string, salts: Buffer): number => {
  if (!existsSync(shmFile) || statSync(shmFile).size < 96) return 0
  const bytes = Buffer.alloc(96)
  const handle = openSync(shmFile, 'r')
  readSync(handle, bytes, 0, 96, 0)
  closeSync(handle)
  const isWhole = bytes[12] === 1 && bytes.subarray(0, 48).equals(bytes.subarray(48))
  return isWhole && bytes.subarray(32, 40).equals(salts) ? bytes.readUInt32LE(16) : 0
}

type Frame = { page: number; filePages: number; isOfLog: boolean; isValid: boolean }

/** Reads the frames one after the other; the checksum of each covers all before it. */
function* framesOf(handle: number, header: Buffer): Generator<Frame> {
  const littleEndian = (header.readUInt32BE(0) & 1) === 0
  const salts = header.subarray(SALTS_AT, SALTS_AT + 8)
  const bytes = Buffer.alloc(FRAME_HEADER_BYTES + header.readUInt32BE(8))
  let sums: Sums = [header.readUInt32BE(24), header.readUInt32BE(28)]
  for (let at = HEADER_BYTES; readSync(handle, bytes, 0, bytes.length, at) === bytes.length; at += bytes.length) {
    sums = sum(bytes, 0, 8, littleEndian, sums)
    sums = sum(bytes, FRAME_HEADER_BYTES, bytes.length, littleEndian, sums)
    const isOfLog = bytes.subarray(FRAME_SALTS_AT, FRAME_SALTS_AT + 8).equals(salts)
    yield {
      page: bytes.readUInt32BE(0),
      filePages: bytes.readUInt32BE(4),
      isOfLog,
      isValid: isOfLog && isSum(bytes, 16, sums),
    }
  }
}

const isHeader = (header: Buffer): boolean => {
  const magic = header.readUInt32BE(0)
  if ((magic & ~1) >>> 0 !== MAGIC) return false
  return isSum(header, 24, sum(header, 0, 24, (magic & 1) === 0, [0, 0]))
}

const readFrames = (handle: number, header: Buffer, shmFile: string): Log => {
  const log: Log = { pages: new Set(), filePages: undefined, damage: undefined }
  let pending: number[] = []
  let [frames, committed, commitsBehind, framesBehindCommit] = [0, 0, 0, 0]
  let isBroken = false
  for (const { page, filePages, isOfLog, isValid } of framesOf(handle, header)) {
    frames++
    isBroken ||= !isValid
    if (isBroken) {
      // an older log's frames follow the end of this one
      if (!isOfLog) continue
      if (commitsBehind > 0) framesBehindCommit++
      if (filePages > 0) commitsBehind++
      continue
    }
    pending.push(page)
    if (filePages === 0) continue
    for (const one of pending) log.pages.add(one)
    pending = []
    committed = frames
    log.filePages = filePages
  }
  const known = knownFrames(shmFile, header.subarray(SALTS_AT, SALTS_AT + 8))
  // without that knowledge: one commit behind the damage may be the last one, cut off before it was acknowledged
  if (committed < known || framesBehindCommit > 0)
    log.damage = `frame ${committed + 1} or one of the same transaction is damaged or missing, and commits follow`
  return log
}

/** Reads the log of a database file, before SQLite opens it. */
export const readLog = (databaseFile: string): Log => {
  const file = `${databaseFile}-wal`
  if (!existsSync(file)) return NOTHING
  const { size } = statSync(file)
  const header = Buffer.alloc(HEADER_BYTES)
  const handle = openSync(file, 'r')
  try {
    // shorter than a header and a page: nothing was ever committed to it
    if (size < HEADER_BYTES + FRAME_HEADER_BYTES + 512) return NOTHING
    readSync(handle, header, 0, HEADER_BYTES, 0)
    if (!isHeader(header)) return { ...NOTHING, damage: 'its header is damaged' }
    return readFrames(handle, header, `${databaseFile}-shm`)
  } finally {
    closeSync(handle)
  }
}

/**
 * Reads tar archives as they come: POSIX (ustar, pax) and GNU. Their parts keep the bytes that they had, so that an archive
 * can be passed on unchanged. The package tar-stream, which reads OVA files, decodes names as UTF-8 and drops the headers.
 */
import { paxRecords } from './pax.ts'

export const blockBytes = 512
/** Headers before a file, such as its long name, are in memory. */
const mostExtraBytes = 2 ** 20

/** An archive that is none, or ends before its end. */
export class BrokenTarError extends Error {}

export type TarEntry = {
  /** As the archive has it, such as `./etc/fstab` or `etc/`. Bytes, because names need not be UTF-8. */
  path: Buffer
  /** The letter of its type (POSIX, pax: typeflag). */
  type: string
  mode: number
  uid: number
  gid: number
  size: number
  mtimeSeconds: number
  /** Of a link, and of a hard link the path of the first one; empty otherwise. */
  target: Buffer
  /** Records of the pax headers, in their order. */
  pax: [key: string, value: Buffer][]
  /** Its own header. */
  block: Buffer
  /** All headers of it, with those of pax and GNU. */
  headers: Buffer
}

export type TarPart = { kind: 'entry'; entry: TarEntry } | { kind: 'data'; bytes: Buffer }

/** Takes exact numbers of bytes from pieces. */
function taker(source: AsyncIterable<Buffer>) {
  const pieces = source[Symbol.asyncIterator]()
  let rest: Buffer = Buffer.alloc(0)
  const more = async (): Promise<boolean> => {
    const { value, done } = await pieces.next()
    if (done) return false
    rest = rest.length === 0 ? value : Buffer.concat([rest, value])
    return true
  }
  return {
    /** @throws BrokenTarError when the bytes end before */
    async exactly(length: number): Promise<Buffer> {
      while (rest.length < length) if (!(await more())) throw new BrokenTarError('The archive broke off before its end')
      const taken = rest.subarray(0, length)
      rest = rest.subarray(length)
      return taken
    },
    /** At most so many bytes, as they come. @throws BrokenTarError when there are none */
    async some(length: number): Promise<Buffer> {
      if (rest.length === 0 && !(await more())) throw new BrokenTarError('The archive broke off before its end')
      const taken = rest.subarray(0, Math.min(length, rest.length))
      rest = rest.subarray(taken.length)
      return taken
    },
    /** Passes the padding after the end of an archive. */
    async drain(): Promise<void> {
      do rest = Buffer.alloc(0)
      while (await more())
    },
    end: async (): Promise<void> => void (await pieces.return?.()),
  }
}

const isZero = (block: Buffer): boolean => block.every((byte) => byte === 0)

/** A number of a header: octal digits, or binary for large ones (GNU, base-256). */
function numberIn(block: Buffer, at: number, length: number): number {
  const field = block.subarray(at, at + length)
  if ((field[0]! & 0x80) === 0) return Number.parseInt(field.toString('latin1').replace(/\0.*$/s, '').trim() || '0', 8)
  return Number(BigInt.asIntN(length * 8 - 1, BigInt(`0x${field.toString('hex')}`) & ~(1n << BigInt(length * 8 - 1))))
}

function textIn(block: Buffer, at: number, length: number): Buffer {
  const field = block.subarray(at, at + length)
  const end = field.indexOf(0)
  return end < 0 ? field : field.subarray(0, end)
}

/** The sum of the bytes of a header, with blanks in the place of the sum itself. */
export function checksumOf(block: Buffer): number {
  let sum = 8 * 0x20
  for (let at = 0; at < blockBytes; at++) if (at < 148 || at >= 156) sum += block[at]!
  return sum
}

function pathIn(block: Buffer): Buffer {
  const name = textIn(block, 0, 100)
  // GNU's headers have times where POSIX has the beginning of a long path.
  const prefix = block.toString('latin1', 257, 263) === 'ustar\0' ? textIn(block, 345, 155) : Buffer.alloc(0)
  return prefix.length === 0 ? name : Buffer.concat([prefix, Buffer.from('/'), name])
}

type Extra = { pax: [string, Buffer][]; path: Buffer | null; target: Buffer | null }

function entryOf(block: Buffer, headers: Buffer, { pax, path, target }: Extra): TarEntry {
  const own = new Map(pax)
  const text = (key: string) => own.get(key)?.toString('latin1')
  const type = block[156] === 0 ? '0' : String.fromCodePoint(block[156]!)
  const number = (key: string, at: number, length: number) => Number(text(key) ?? numberIn(block, at, length))
  return {
    path: own.get('path') ?? path ?? pathIn(block),
    target: own.get('linkpath') ?? target ?? textIn(block, 157, 100),
    type,
    mode: numberIn(block, 100, 8),
    uid: number('uid', 108, 8),
    gid: number('gid', 116, 8),
    // Links, devices and folders have no content, also where a header says so.
    size: /[1-6]/.test(type) ? 0 : number('size', 124, 12),
    mtimeSeconds: number('mtime', 136, 12),
    pax,
    block,
    headers,
  }
}

const padded = (size: number) => Math.ceil(size / blockBytes) * blockBytes
const withoutNul = (bytes: Buffer) => (bytes.at(-1) === 0 ? bytes.subarray(0, -1) : bytes)

/**
 * The parts of an archive in their order. The data of an entry comes with its padding; the blocks of zeros at the end are
 * left out.
 * @throws BrokenTarError for bytes that are no archive, or that end before the archive does
 */
export async function* readTar(source: AsyncIterable<Buffer>): AsyncGenerator<TarPart> {
  const take = taker(source)
  try {
    let extra: Extra = { pax: [], path: null, target: null }
    let headers: Buffer[] = []
    for (;;) {
      const block = await take.exactly(blockBytes)
      if (isZero(block)) {
        if (!isZero(await take.exactly(blockBytes))) throw new BrokenTarError('The archive has an empty header')
        return await take.drain()
      }
      if (numberIn(block, 148, 8) !== checksumOf(block))
        throw new BrokenTarError('The archive has a header that is none')
      headers.push(block)
      const type = String.fromCodePoint(block[156]!)
      if ('xgLK'.includes(type)) {
        const size = numberIn(block, 124, 12)
        if (size > mostExtraBytes) throw new BrokenTarError(`The archive has a header of ${size} bytes`)
        const bytes = await take.exactly(padded(size))
        headers.push(bytes)
        const content = bytes.subarray(0, size)
        if (type === 'x') extra.pax.push(...paxRecords(content))
        if (type === 'L') extra.path = withoutNul(content)
        if (type === 'K') extra.target = withoutNul(content)
        continue
      }
      const entry = entryOf(block, Buffer.concat(headers), extra)
      yield { kind: 'entry', entry }
      for (let left = padded(entry.size); left > 0;) {
        const bytes = await take.some(left)
        left -= bytes.length
        yield { kind: 'data', bytes }
      }
      extra = { pax: [], path: null, target: null }
      headers = []
    }
  } finally {
    await take.end()
  }
}

/** The two blocks at the end of an archive. */
export const tarEnd = Buffer.alloc(2 * blockBytes)

import { invalid } from '#shared/errors.ts'

const mostPathBytes = 4096
/** The guest checks each folder of a path, and all are words of one command. */
const mostFolders = 64
const [slash, percent] = [0x2f, 0x25]

/** Bytes of a text in which `%` and two hexadecimal digits stand for a byte. Null for a `%` without them. */
function bytesOf(text: string): Buffer | null {
  const bytes = Buffer.from(text, 'utf8')
  const decoded: number[] = []
  for (let at = 0; at < bytes.length; at++) {
    if (bytes[at] !== percent) {
      decoded.push(bytes[at]!)
      continue
    }
    const digits = bytes.toString('latin1', at + 1, at + 3)
    if (!/^[0-9A-Fa-f]{2}$/.test(digits)) return null
    decoded.push(Number.parseInt(digits, 16))
    at += 2
  }
  return Buffer.from(decoded)
}

/**
 * The names of a path, each as bytes without a slash. The root has none.
 * @throws ValidationError for a path that is relative, too long, or has `.`, `..`, NUL, or a `%` without two digits
 */
export function namesIn(path: string): Buffer[] {
  const bytes = bytesOf(path)
  if (!bytes) throw invalid('path', 'must have two hexadecimal digits after each %; %25 stands for a %', 'pattern')
  if (bytes[0] !== slash) throw invalid('path', 'must be absolute', 'pattern')
  if (bytes.length > mostPathBytes) throw invalid('path', `must have at most ${mostPathBytes} bytes`, 'maxLength')
  if (bytes.includes(0)) throw invalid('path', 'must have no NUL', 'pattern')
  const names: Buffer[] = []
  for (let from = 0; from < bytes.length;) {
    const next = bytes.indexOf(slash, from)
    const end = next < 0 ? bytes.length : next
    if (end > from) names.push(bytes.subarray(from, end))
    from = end + 1
  }
  if (names.some((name) => name.equals(Buffer.from('.')) || name.equals(Buffer.from('..'))))
    throw invalid('path', 'must have no . and ..', 'pattern')
  if (names.length > mostFolders) throw invalid('path', `must have at most ${mostFolders} folders`, 'maxItems')
  return names
}

const decoder = new TextDecoder('utf-8', { ignoreBOM: true })
const hex = (byte: number) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`
/** Characters that a terminal or a page would act on. */
const active = /[\p{Cc}\p{Cf}\u2028\u2029%]/u

/** The text of a path or a name, from which {@link namesIn} makes the same bytes. */
export function textOf(bytes: Buffer): string {
  let text = ''
  for (let at = 0; at < bytes.length;) {
    const length = characterAt(bytes, at)
    const piece = bytes.subarray(at, at + Math.max(1, length))
    const character = length > 0 ? piece.toString('utf8') : ''
    text += length > 0 && !active.test(character) ? character : [...piece].map(hex).join('')
    at += piece.length
  }
  return text
}

/** Bytes of the character of UTF-8 that begins at a place; 0 if none does. */
function characterAt(bytes: Buffer, at: number): number {
  const first = bytes[at]!
  const length = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0
  const piece = bytes.subarray(at, at + length)
  // Overlong forms and surrogates do not come back as the same bytes.
  return piece.length === length && Buffer.from(piece.toString('utf8')).equals(piece) ? length : 0
}

/** A name to be read by people. */
export const displayOf = (name: Buffer): string =>
  decoder.decode(name).replaceAll(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, '\uFFFD')

/** The absolute path of names in a folder of the guest. */
export const pathIn = (folder: string, names: readonly Buffer[]): Buffer =>
  Buffer.concat([Buffer.from(folder), ...names.flatMap((name) => [Buffer.from('/'), name])])

/** The text of a path of names. */
export const pathText = (names: readonly Buffer[]): string => `/${names.map(textOf).join('/')}`

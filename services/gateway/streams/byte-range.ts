/** A part of a file, its last byte included; `unsatisfiable`: the range is behind the end. */
export type ByteRange = { first: number; last: number } | 'unsatisfiable'

/**
 * The part of a file that a `Range` header asks for; null for all of it: there is no header, or one that is not understood or
 * asks for several parts, which a server may answer with the whole (RFC 9110, 14.2).
 * @param ifRange the `If-Range` header: with another tag than that of the file, the whole is answered
 */
export function rangeIn(
  header: string | undefined,
  ifRange: string | undefined,
  { size, tag }: { size: number; tag: string },
): ByteRange | null {
  if (ifRange !== undefined && ifRange.trim() !== tag) return null
  const found = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(header?.trim() ?? '')
  if (!found) return null
  const [, from = '', to = ''] = found
  if (from === '') return to === '' ? null : suffix(Number(to), size)
  const [first, last] = [Number(from), to === '' ? size - 1 : Number(to)]
  if (to !== '' && last < first) return null
  return first >= size ? 'unsatisfiable' : { first, last: Math.min(last, size - 1) }
}

const suffix = (length: number, size: number): ByteRange =>
  length === 0 || size === 0 ? 'unsatisfiable' : { first: Math.max(0, size - length), last: size - 1 }

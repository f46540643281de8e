import { invalid } from '#shared/errors.ts'

/** The place behind a line: its time, and how many lines of that time come up to it. Or an offset in a console's text. */
export type Place = { nanos: bigint; count: number } | { offset: number }

export const cursorOf = (place: Place): string =>
  Buffer.from('offset' in place ? `o${place.offset}` : `t${place.nanos}.${place.count}`).toString('base64url')

/** @throws ValidationError */
export function placeOf(cursor: string): Place {
  const text = Buffer.from(cursor, 'base64url').toString('latin1')
  const [, offset] = /^o(\d{1,15})$/.exec(text) ?? []
  if (offset !== undefined) return { offset: Number(offset) }
  const [, nanos, count] = /^t(\d{1,20})\.(\d{1,9})$/.exec(text) ?? []
  if (nanos === undefined) throw invalid('cursor', 'is not a cursor of a log')
  return { nanos: BigInt(nanos), count: Number(count) }
}

import { UnavailableError } from '#shared/errors.ts'

/** The end of a program in the guest. */
export type Outcome = { code: number; bytes: number; words: string }

/** Reads the line that ends a program. @throws UnavailableError for another line */
export function outcomeOf(line: string): Outcome {
  const found = /^done (\d{1,3}) (\d{1,15}) ([A-Za-z0-9+/=]*)$/.exec(line)
  if (!found) throw new UnavailableError('The guest that reads files sends a line that is none of its protocol')
  const [, code, bytes, words] = found
  return { code: Number(code), bytes: Number(bytes), words: printable(Buffer.from(words!, 'base64').toString('utf8')) }
}

/** Words of a program in the guest, which may have names from the disk: control characters are left out. */
export const printable = (words: string): string =>
  words
    .replaceAll(/[\p{Cc}\p{Cf}]+/gu, ' ')
    .trim()
    .slice(0, 500)

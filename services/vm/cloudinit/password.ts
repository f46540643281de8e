import { hash, randomBytes } from 'node:crypto'

/** A guest's crypt(3) and PAM read no more of a password: CRYPT_MAX_PASSPHRASE_SIZE and PAM_MAX_RESP_SIZE are 512 with the NUL. */
export const maxPasswordBytes = 511

const alphabet = './0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
const rounds = 5000

const newSalt = () => Array.from(randomBytes(16), (byte) => alphabet[byte & 63]).join('')
const sha512 = (...parts: Buffer[]) => hash('sha512', Buffer.concat(parts), 'buffer')
/** The bytes again and again, up to a length. */
const repeated = (bytes: Buffer, length: number) => Buffer.alloc(length, bytes)

/**
 * A password as crypt(5) keeps it: SHA-512 with a salt of its own, of all of its bytes. (openssl passwd hashes the first
 * 256.) The steps are those of "Unix crypt using SHA-256 and SHA-512", Ulrich Drepper, 2008.
 */
export function hashOf(password: string, salt = newSalt()): string {
  const key = Buffer.from(password)
  const salted = Buffer.from(salt)
  const b = sha512(key, salted, key)
  const mixed = Array.from(key.length.toString(2), (bit) => (bit === '1' ? b : key)).toReversed()
  let digest = sha512(key, salted, repeated(b, key.length), ...mixed)
  const p = repeated(sha512(repeated(key, key.length ** 2)), key.length)
  const s = repeated(sha512(repeated(salted, salted.length * (16 + digest[0]!))), salted.length)
  for (let round = 0; round < rounds; round++) {
    const isOdd = round % 2 === 1
    digest = sha512(
      isOdd ? p : digest,
      ...(round % 3 === 0 ? [] : [s]),
      ...(round % 7 === 0 ? [] : [p]),
      isOdd ? digest : p,
    )
  }
  return `$6$${salt}$${textOf(digest)}`
}

/** Three bytes make four letters, the lowest bits first; the bytes of each three lie 21 apart, in an order that turns. */
function textOf(digest: Buffer): string {
  const letters = (value: number, count: number) =>
    Array.from({ length: count }, (_, at) => alphabet[(value >> (6 * at)) & 63]).join('')
  const groups = Array.from({ length: 21 }, (_, at) => {
    const three = [at, at + 21, at + 42]
    const [high, middle, low] = [0, 1, 2].map((place) => digest[three[(place + at) % 3]!]!) as [number, number, number]
    return letters((high << 16) | (middle << 8) | low, 4)
  })
  return groups.join('') + letters(digest[63]!, 2)
}

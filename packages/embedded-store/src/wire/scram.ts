import { createHash, createHmac, pbkdf2Sync, randomBytes, timingSafeEqual } from 'node:crypto'

/** SCRAM-SHA-256: RFC 5802 with the hash of RFC 7677, as MongoDB uses it. */
const ITERATIONS = 15_000
const KEY_BYTES = 32

/** The stored verifier of the password (RFC 5802). */
export type Credentials = { user: string; salt: Buffer; storedKey: Buffer; serverKey: Buffer }

const hmac = (key: Buffer, text: string): Buffer => createHmac('sha256', key).update(text).digest()
const hash = (bytes: Buffer): Buffer => createHash('sha256').update(bytes).digest()

/** Derives the keys; NFKC stands for SASLprep, which differs in forbidden characters only. */
export const deriveCredentials = (user: string, password: string): Credentials => {
  const salt = randomBytes(28)
  const salted = pbkdf2Sync(password.normalize('NFKC'), salt, ITERATIONS, KEY_BYTES, 'sha256')
  return { user, salt, storedKey: hash(hmac(salted, 'Client Key')), serverKey: hmac(salted, 'Server Key') }
}

const fields = (text: string): Map<string, string> =>
  new Map(text.split(',').map((part) => [part.slice(0, 1), part.slice(2)]))

/** A conversation that has had its first message. */
export type Conversation = { firstAnswer: string; finish: (clientFinal: string) => string | undefined }

const isSame = (a: Buffer, b: Buffer): boolean => a.length === b.length && timingSafeEqual(a, b)

/**
 * Answers the client's first message; undefined when it is malformed. An unknown user gets an answer like any other and
 * fails at the end, so that names cannot be guessed.
 */
export const startConversation = (credentials: Credentials, clientFirst: string): Conversation | undefined => {
  if (!/^n,,n=[^,]+,r=[^,]{8,}/.test(clientFirst)) return undefined
  const bare = clientFirst.slice(3)
  const given = fields(bare)
  const user = (given.get('n') ?? '').replaceAll('=2C', ',').replaceAll('=3D', '=')
  const nonce = `${given.get('r')}${randomBytes(24).toString('base64')}`
  const firstAnswer = `r=${nonce},s=${credentials.salt.toString('base64')},i=${ITERATIONS}`
  const isUser = isSame(hash(Buffer.from(user)), hash(Buffer.from(credentials.user)))
  const finish = (clientFinal: string): string | undefined => {
    const end = clientFinal.lastIndexOf(',p=')
    const final = fields(clientFinal)
    if (end < 0 || final.get('r') !== nonce || final.get('c') !== 'biws') return undefined
    const signed = `${bare},${firstAnswer},${clientFinal.slice(0, end)}`
    const proof = Buffer.from(clientFinal.slice(end + 3), 'base64')
    const signature = hmac(credentials.storedKey, signed)
    if (proof.length !== signature.length) return undefined
    const clientKey = Buffer.from(proof.map((byte, i) => byte ^ (signature[i] as number)))
    if (!isSame(hash(clientKey), credentials.storedKey) || !isUser) return undefined
    return `v=${hmac(credentials.serverKey, signed).toString('base64')}`
  }
  return { firstAnswer, finish }
}

import { createPrivateKey, createPublicKey, hkdfSync, type KeyObject, sign, verify } from 'node:crypto'
import type { Checkpoint, ExportHead } from '#shared/contracts/core/audit.ts'

/** Prefix of an Ed25519 private key in PKCS #8 (RFC 8410); the seed follows. */
const pkcs8Prefix = Buffer.from('302e020100300506032b657004220420', 'hex')

/** Derives the signing key from HORCRUX_SECRET_KEY. It is the same in every replica. */
export function signingKeyFrom(secretKey: string): KeyObject {
  const seed = Buffer.from(hkdfSync('sha256', secretKey, 'horcrux', 'audit signature', 32))
  return createPrivateKey({ key: Buffer.concat([pkcs8Prefix, seed]), format: 'der', type: 'pkcs8' })
}

/** Public key as SPKI in base64url, as shown by the API. */
export function publicKeyOf(key: KeyObject): string {
  return createPublicKey(key).export({ format: 'der', type: 'spki' }).toString('base64url')
}

type Unsigned<T> = Omit<T, 'signature'>

function checkpointText({ seq, hash, time }: Unsigned<Checkpoint>) {
  return JSON.stringify(['horcrux-audit-checkpoint-1', seq, hash, time])
}

function headText(head: Unsigned<ExportHead>) {
  return JSON.stringify([
    'horcrux-audit-head-1',
    head.from_seq,
    head.to_seq,
    head.prev_hash,
    head.hash,
    head.checkpoints,
    head.time,
    head.public_key,
  ])
}

export function signCheckpoint(checkpoint: Unsigned<Checkpoint>, key: KeyObject): Checkpoint {
  return {
    ...checkpoint,
    signature: signText(checkpointText(checkpoint), key),
  }
}

export function signHead(head: Unsigned<ExportHead>, key: KeyObject): ExportHead {
  return {
    ...head,
    signature: signText(headText(head), key),
  }
}

export function isSignedCheckpoint(checkpoint: Checkpoint, publicKey: string) {
  return isSigned(checkpointText(checkpoint), checkpoint.signature, publicKey)
}
export const isSignedHead = (head: ExportHead, publicKey: string) => isSigned(headText(head), head.signature, publicKey)

const signText = (text: string, key: KeyObject) => sign(null, Buffer.from(text), key).toString('base64url')

function isSigned(text: string, signature: string, publicKey: string): boolean {
  const bytes = Buffer.from(signature, 'base64url')
  // A signature has one canonical spelling; another spelling of the same bytes was altered.
  if (bytes.toString('base64url') !== signature) return false
  const key = ed25519Key(publicKey)
  return key !== null && verify(null, Buffer.from(text), key, bytes)
}

let lastKey: { text: string; key: KeyObject | null } | undefined

/** Cache of the last parsed key: a chain has one key and many signatures, and parsing costs more than a record. */
function ed25519Key(text: string): KeyObject | null {
  if (lastKey?.text !== text) lastKey = { text, key: readKey(text) }
  return lastKey.key
}

function readKey(text: string): KeyObject | null {
  try {
    const key = createPublicKey({ key: Buffer.from(text, 'base64url'), format: 'der', type: 'spki' })
    return key.asymmetricKeyType === 'ed25519' ? key : null
  } catch {
    return null
  }
}

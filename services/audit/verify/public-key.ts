import { createPublicKey, hash } from 'node:crypto'

/**
 * Reads a public key from a file: SPKI in base64url, as the API shows it, or PEM.
 * @returns the key as exports name it, or null if it is no Ed25519 public key
 */
export function readPublicKey(text: string): string | null {
  const trimmed = text.trim()
  try {
    const key = trimmed.startsWith('-----BEGIN PUBLIC KEY-----')
      ? createPublicKey(trimmed)
      : createPublicKey({ key: Buffer.from(trimmed, 'base64url'), format: 'der', type: 'spki' })
    return key.asymmetricKeyType === 'ed25519'
      ? key.export({ format: 'der', type: 'spki' }).toString('base64url')
      : null
  } catch {
    return null
  }
}

/** Fingerprint, short enough to compare by eye or over the telephone, in the format of ssh-keygen. */
export function fingerprintOf(publicKey: string) {
  return `SHA256:${hash('sha256', Buffer.from(publicKey, 'base64url'), 'base64').replace(/=+$/, '')}`
}

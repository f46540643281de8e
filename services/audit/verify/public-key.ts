import { createPublicKey, hash } from 'node:crypto'

/**
 * The key that a file holds: as Horcrux tells it (SPKI in base64url), or in PEM.
 * @returns it as exports name it, or null when it is no Ed25519 public key
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

/** Short enough to be compared by eye or over the telephone, as ssh-keygen shows keys. */
export function fingerprintOf(publicKey: string) {
  return `SHA256:${hash('sha256', Buffer.from(publicKey, 'base64url'), 'base64').replace(/=+$/, '')}`
}

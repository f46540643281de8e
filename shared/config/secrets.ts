import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto'
import { config } from '#shared/config/config.ts'

/** 256-bit key for one purpose, derived from HORCRUX_SECRET_KEY by HKDF (RFC 5869). */
function keyFor(purpose: string): Buffer {
  const { secretKey } = config()
  if (!secretKey) throw new Error('HORCRUX_SECRET_KEY is not set')
  return Buffer.from(hkdfSync('sha256', secretKey, 'horcrux', purpose, 32))
}

/** Encrypts a secret for the store with AES-256-GCM: `v1.<nonce>.<tag>.<ciphertext>`, each base64url. */
export function seal(plain: string, purpose: string): string {
  const nonce = randomBytes(12)
  const cipher = createCipheriv('aes-256-gcm', keyFor(purpose), nonce)
  const sealed = Buffer.concat([cipher.update(plain, 'utf8'), cipher.final()])
  return ['v1', ...[nonce, cipher.getAuthTag(), sealed].map((part) => part.toString('base64url'))].join('.')
}

/** The secret that {@link seal} made. @throws when the text was changed, or sealed with another key or purpose */
export function unseal(sealed: string, purpose: string): string {
  const [version, nonce, tag, text] = sealed.split('.')
  if (version !== 'v1' || !nonce || !tag || text === undefined) throw new Error('not a sealed secret')
  const decipher = createDecipheriv('aes-256-gcm', keyFor(purpose), Buffer.from(nonce, 'base64url'))
  decipher.setAuthTag(Buffer.from(tag, 'base64url'))
  return Buffer.concat([decipher.update(Buffer.from(text, 'base64url')), decipher.final()]).toString('utf8')
}

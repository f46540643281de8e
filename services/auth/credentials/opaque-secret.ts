import { createHash, randomBytes } from 'node:crypto'

/** A random secret of 256 bits as text. It cannot be guessed, so a fast hash is enough to store it. */
export const newSecret = () => randomBytes(32).toString('base64url')

export const sha256 = (text: string) => createHash('sha256').update(text).digest('base64url')

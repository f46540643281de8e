import { createHash, randomBytes } from 'node:crypto'

/** A secret of 256 bits as text. Such a secret needs no slow hash: it cannot be guessed. */
export const newSecret = () => randomBytes(32).toString('base64url')

export const sha256 = (text: string) => createHash('sha256').update(text).digest('base64url')

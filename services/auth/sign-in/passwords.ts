import { argon2id, hash, needsRehash, verify } from 'argon2'
import { randomBytes } from 'node:crypto'

/**
 * Argon2id parameters recommended by OWASP: 19 MiB, 2 passes, 1 lane. They are stored with each hash and may be raised
 * later.
 */
export const parameters = { type: argon2id, memoryCost: 19_456, timeCost: 2, parallelism: 1 } as const

export const hashPassword = (password: string) => hash(password, parameters)

/** Checks that a hash has weaker parameters than the current ones. */
export const isOutdated = (stored: string) => needsRehash(stored, parameters)

let nobody: Promise<string> | undefined

/** Verifies a password. Without a stored hash it takes the same time and returns false. */
export async function isPassword(stored: string | undefined, password: string): Promise<boolean> {
  nobody ??= hashPassword(randomBytes(32).toString('hex'))
  const fits = await verify(stored ?? (await nobody), password)
  return stored !== undefined && fits
}

/**
 * Precomputes the hash that {@link isPassword} compares with for unknown names, so that the first sign-in is not
 * delayed.
 */
export const prepareForNobody = async () => void (await isPassword(undefined, ''))

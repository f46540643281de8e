import { argon2id, hash, needsRehash, verify } from 'argon2'
import { randomBytes } from 'node:crypto'

/** Argon2id as OWASP advises it: 19 MiB, 2 passes, 1 lane. They are stored with each hash and may grow. */
export const parameters = { type: argon2id, memoryCost: 19_456, timeCost: 2, parallelism: 1 } as const

export const hashPassword = (password: string) => hash(password, parameters)

/** Whether a hash was made with lesser parameters than today's. */
export const isOutdated = (stored: string) => needsRehash(stored, parameters)

let nobody: Promise<string> | undefined

/** Whether the password fits. Without a hash to compare with it takes as long, and the answer is no. */
export async function isPassword(stored: string | undefined, password: string): Promise<boolean> {
  nobody ??= hashPassword(randomBytes(32).toString('hex'))
  const fits = await verify(stored ?? (await nobody), password)
  return stored !== undefined && fits
}

/** Makes what {@link isPassword} compares with for unknown names, so that the first sign-in does not wait for it. */
export const prepareForNobody = async () => void (await isPassword(undefined, ''))

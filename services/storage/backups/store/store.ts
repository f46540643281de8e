import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { ConflictError, NotFoundError } from '#shared/errors.ts'
import type { Objects } from './objects.ts'
import { chunkBytes } from './chunks.ts'

/** Format 2 is format 1 with encryption: versions of Horcrux without it refuse such a store. */
export type StoreConfig = {
  format: 1 | 2
  chunk_bytes: number
  hash: 'sha256' | 'hmac-sha256'
  compression: 'zstd'
  encryption?: { cipher: 'aes-256-gcm'; key_id: string; key_file: string }
}

export const keyFileKey = 'keys/data.age'
const configKey = 'config.json'
const programs = ['README.txt', 'restore.mjs', 'open-key.mjs']
const own = (name: string) => readFileSync(join(import.meta.dirname, name))

export function configOf(keyId: string | null): StoreConfig {
  const plain = { format: 1, chunk_bytes: chunkBytes, hash: 'sha256', compression: 'zstd' } as const
  if (keyId === null) return plain
  const encryption = { cipher: 'aes-256-gcm', key_id: keyId, key_file: keyFileKey } as const
  return { ...plain, format: 2, hash: 'hmac-sha256', encryption }
}

/** @returns null while there is no store. @throws ConflictError for one of a later format, SyntaxError for a damaged one */
async function readConfig(objects: Objects): Promise<StoreConfig | null> {
  const bytes = await objects.get(configKey).catch((error: unknown) => {
    if (error instanceof NotFoundError) return null
    throw error
  })
  if (bytes === null) return null
  const config = JSON.parse(bytes.toString('utf8')) as StoreConfig
  if (config.format === 1 || config.format === 2) return config
  throw new ConflictError(`The backup store has format ${String(config.format)}; this version of Horcrux reads 1 and 2`)
}

/** As {@link readConfig}; null for a damaged one as well, so that backups can be restored without it. */
export async function configIn(objects: Objects): Promise<StoreConfig | null> {
  return readConfig(objects).catch((error: unknown) => {
    if (error instanceof SyntaxError) return null
    throw error
  })
}

/** @returns false when there is none yet. @throws ConflictError for one of a later format, or a damaged one */
export async function hasStore(objects: Objects): Promise<boolean> {
  try {
    return (await readConfig(objects)) !== null
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error
    const words = 'The config.json of the backup store is damaged: put back the one that it had'
    throw new ConflictError(words, { cause: error })
  }
}

/** The key file in a store is the one that Horcrux has written. */
export async function hasKeyFile(objects: Objects, keyFile: Buffer): Promise<boolean> {
  try {
    return (await objects.get(keyFileKey)).equals(keyFile)
  } catch (error) {
    if (error instanceof NotFoundError) return false
    throw error
  }
}

/** Writes the key file of a store, unless it is there. */
export async function putKeyFile(objects: Objects, keyFile: Buffer): Promise<void> {
  if (!(await hasKeyFile(objects, keyFile))) await objects.put(keyFileKey, keyFile)
}

/** Makes the store, or finds it. @throws ConflictError for one of a later format, a damaged one, or the rest of an encrypted one */
export async function prepareStore(objects: Objects): Promise<void> {
  if (await hasStore(objects)) return
  // Backups in clear would lie among encrypted ones.
  if (objects.encryption.keyId === null && (await objects.list(keyFileKey)).length > 0)
    throw new ConflictError(
      `The backup store has lost its config.json, and was encrypted, since it has ${keyFileKey}: put back the one that it had`,
    )
  await writeStore(objects)
}

/** Writes the programs and the configuration of a store, which is there from then on. */
export async function writeStore(objects: Objects): Promise<void> {
  for (const name of programs) await objects.put(name, own(name))
  await objects.put(configKey, Buffer.from(`${JSON.stringify(configOf(objects.encryption.keyId))}\n`))
}

export const forgetStore = (objects: Objects): Promise<void> => objects.remove(configKey)

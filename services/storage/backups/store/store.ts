import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { ConflictError, NotFoundError } from '#shared/errors.ts'
import type { Objects } from './objects.ts'
import { chunkBytes } from './chunks.ts'

const own = (name: string) => readFileSync(join(import.meta.dirname, name))
const config = { format: 1, chunk_bytes: chunkBytes, hash: 'sha256', compression: 'zstd' }

/** Makes the store, or finds it. @throws ConflictError for one of a later format */
export async function prepareStore(objects: Objects): Promise<void> {
  if (await hasStore(objects)) return
  await objects.put('README.txt', own('README.txt'))
  await objects.put('restore.mjs', own('restore.mjs'))
  await objects.put('config.json', Buffer.from(`${JSON.stringify(config)}\n`))
}

/** @returns false when there is none yet. @throws ConflictError for one of a later format */
export async function hasStore(objects: Objects): Promise<boolean> {
  try {
    const { format } = JSON.parse((await objects.get('config.json')).toString('utf8')) as { format: number }
    if (format === config.format) return true
    throw new ConflictError(`The backup store has format ${format}; this version of Horcrux reads ${config.format}`)
  } catch (error) {
    if (error instanceof NotFoundError) return false
    throw error
  }
}

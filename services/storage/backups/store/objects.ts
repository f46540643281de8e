import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { requireCurrent } from '#shared/runtime/request-context.ts'
import type { PoolConfig, PoolType } from '#shared/contracts/storage/pool-kinds.ts'
import type { Host } from '#shared/nodes/host/host.ts'
import type { ObjectDriver } from '../../drivers/objects.ts'
import { type Encryption, unencrypted } from './encryption.ts'
import { DamagedPack } from './pack.ts'

/** All objects of a backup store have keys below this. */
const prefix = 'backups/'
/** A kind that lists all at once is asked so; others have smaller pages. */
const pageSize = 100_000

export type Listed = { key: string; size_bytes: number }
export type Range = { offset: number; length: number }

/** The objects of a backup store. They are small enough to be in memory. */
export type Objects = {
  /** Writes an object, or replaces it; it is durable when this returns, and never seen in part. */
  put: (key: string, bytes: Uint8Array) => Promise<void>
  /** Reads an object, or a range of it. @throws NotFoundError */
  get: (key: string, range?: Range) => Promise<Buffer>
  /** All objects whose keys begin with a text, in the order of the keys. */
  list: (beginning: string) => Promise<Listed[]>
  /** One that is gone is fine. */
  remove: (key: string) => Promise<void>
  encryption: Encryption
}

/** The backup store among the objects of a storage pool, with its bytes as they are stored. */
export function objectsOf<K extends PoolType>(
  driver: ObjectDriver<K>,
  host: Host,
  config: PoolConfig<K>,
  signal: AbortSignal = new AbortController().signal,
): Objects {
  return {
    async put(key, bytes) {
      await requireCurrent()
      const how = { ifExists: 'replace' as const, size_bytes: bytes.length, signal }
      await driver.put(host, config, prefix + key, Readable.from([bytes]), how)
    },

    get: async (key, range) => buffer(await driver.get(host, config, prefix + key, { ...range, signal })),

    async list(beginning) {
      const found: Listed[] = []
      let after: string | undefined
      do {
        const page = await driver.list(host, config, prefix + beginning, { after, limit: pageSize })
        for (const { key, size_bytes } of page.objects) found.push({ key: key.slice(prefix.length), size_bytes })
        after = page.next ?? undefined
      } while (after !== undefined)
      return found
    },

    remove: (key) => driver.remove(host, config, prefix + key),
    encryption: unencrypted,
  }
}

/** Objects that are never encrypted as a whole: a pack has parts that are, and the others are read without the key. */
const isBare = (key: string): boolean => /^(packs|keys)\/|^(config\.json|README\.txt|[a-z-]+\.mjs)$/.test(key)

/** The objects of a store that is encrypted. `get` throws DamagedPack for content that cannot be decrypted. */
export function encryptedObjects(stored: Objects, encryption: Encryption): Objects {
  return {
    ...stored,
    encryption,
    put: async (key, bytes) => stored.put(key, isBare(key) ? bytes : await encryption.encrypt(key, Buffer.from(bytes))),
    async get(key, range) {
      const bytes = await stored.get(key, range)
      if (isBare(key)) return bytes
      if (range) throw new Error(`${key} is encrypted, and cannot be read in part`)
      return encryption.decrypt(key, bytes).catch((error: unknown) => {
        if (!(error instanceof DamagedPack)) throw error
        throw new DamagedPack(`${key} ${error.message}`, { cause: error })
      })
    },
  }
}

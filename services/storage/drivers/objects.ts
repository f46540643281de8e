import type { Readable } from 'node:stream'
import type { PoolConfig, PoolType } from '#shared/contracts/storage/pool-kinds.ts'
import type { Host } from '#shared/nodes/host/host.ts'

export type StoredObject = { key: string; size_bytes: number; modified_at: string }

export type Putting = {
  /** `refuse`: of several writers that race for a key, one makes it. */
  ifExists: 'refuse' | 'replace'
  /** Length of the content, if it is known: another one is refused. */
  size_bytes?: number | undefined
  signal: AbortSignal
}
/** `is_made`: false, with nothing changed, when the key is taken. Length and digest are those of the content. */
export type Put = { is_made: boolean; size_bytes: number; sha256: string }

/** `after`: the `next` of the page before. `limit`: at most, and by default, 1,000. */
export type ListingPage = { after?: string | undefined; limit?: number | undefined }
export const largestPage = 1000

export type Getting = { offset?: number | undefined; length?: number | undefined; signal: AbortSignal }

/**
 * Objects by key ({@link requireKey}), for content that is written once as a whole and read in parts, such as backups. No
 * key is a folder of another one: below a folder, `a` and `a/b` cannot both be files.
 */
export type ObjectDriver<K extends PoolType = PoolType> = {
  /**
   * Stores content, as fast as the storage takes it. Nobody sees the object before it is complete and durable.
   * @throws ConflictError for content of another length than given, UnavailableError for a full storage pool
   */
  put(host: Host, config: PoolConfig<K>, key: string, content: AsyncIterable<Uint8Array>, how: Putting): Promise<Put>
  /**
   * Reads an object, or a part of it: at most to its end.
   * @returns a stream that fails when it breaks off. @throws NotFoundError
   */
  get(host: Host, config: PoolConfig<K>, key: string, how: Getting): Promise<Readable>
  stat(host: Host, config: PoolConfig<K>, key: string): Promise<StoredObject | null>
  /** Lists the objects whose keys begin with a text, in the order of the keys. @returns `next`: null on the last page */
  list(
    host: Host,
    config: PoolConfig<K>,
    prefix: string,
    page?: ListingPage,
  ): Promise<{ objects: StoredObject[]; next: string | null }>
  /** One that is gone is fine. */
  remove(host: Host, config: PoolConfig<K>, key: string): Promise<void>
  /** Removes content of puts that never ended and were not written since. @returns how many */
  sweep(host: Host, config: PoolConfig<K>, before: Date): Promise<number>
}

const keyForm = /^[A-Za-z0-9][A-Za-z0-9._-]*(\/[A-Za-z0-9][A-Za-z0-9._-]*)*$/
const longestKey = 512
const longestPart = 100

export const isKey = (key: string): boolean =>
  keyForm.test(key) && key.length <= longestKey && key.split('/').every((part) => part.length <= longestPart)

/** Refuses a text that would be another path or an option. That is a bug: callers make the keys, people do not. */
export function requireKey(key: string): string {
  if (isKey(key)) return key
  throw new Error(`'${key}' is no key of an object`)
}

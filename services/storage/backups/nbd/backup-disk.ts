import type { Catalog } from '../store/catalog.ts'
import { chunkBytes, type ChunkList } from '../store/chunks.ts'
import { readWholeCatalog } from '../store/collect.ts'
import type { VmManifest } from '../store/manifest.ts'
import type { Objects } from '../store/objects.ts'
import { readChunks, type Unreadable } from '../store/read-chunks.ts'
import { lostError, spread } from './fill-disk.ts'
import type { ByteSource } from './serve-handshake.ts'

/** Chunks of a disk that are kept in memory: 32 MiB. */
const mostKept = 8

/** A backup store that is read by chunks. */
export type ChunkReader = {
  /** @throws ConflictError naming the chunk, when it is damaged or gone */
  read: (id: string) => Promise<Buffer>
}

/**
 * Reads single chunks of a store. A garbage collection may move a chunk to another pack meanwhile, so the catalog is read
 * again before a chunk counts as lost.
 * @param onLost is told of each chunk that is lost
 */
export async function chunkReader(
  objects: Objects,
  signal: AbortSignal,
  onLost: (error: Error) => void,
): Promise<ChunkReader> {
  let catalog: Catalog = (await readWholeCatalog(objects)).catalog

  async function tryToRead(id: string): Promise<Buffer | Unreadable> {
    let found: Buffer | Unreadable | undefined
    await readChunks(objects, catalog, new Set([id]), {
      signal,
      onChunk: (_, chunk) => {
        found = chunk
        return Promise.resolve()
      },
      onUnreadable: (unreadable) => void (found = unreadable),
    })
    return found!
  }

  return {
    async read(id) {
      const before = catalog
      let chunk = await tryToRead(id)
      if (Buffer.isBuffer(chunk)) return chunk
      if (catalog === before) ({ catalog } = await readWholeCatalog(objects))
      chunk = await tryToRead(id)
      if (Buffer.isBuffer(chunk)) return chunk
      const error = lostError([chunk])
      onLost(error)
      throw error
    },
  }
}

/** A disk of a backup, whose chunks are read as they are asked for. Some are kept: a file system is read in small pieces. */
export function backupDisk({ read }: ChunkReader, disk: VmManifest['disks'][number]): ByteSource {
  // It was checked when the manifest was read.
  const ids = spread(disk.chunks as ChunkList)
  /** In the order of their last use. */
  const kept = new Map<string, Promise<Buffer>>()

  function chunk(id: string): Promise<Buffer> {
    const reading = kept.get(id) ?? read(id)
    kept.delete(id)
    kept.set(id, reading)
    // One that failed is asked for again.
    reading.catch(() => kept.delete(id))
    if (kept.size > mostKept) kept.delete(kept.keys().next().value!)
    return reading
  }

  return {
    size_bytes: disk.size_bytes,
    async read(offset, length) {
      const target = Buffer.alloc(length)
      for (let at = offset; at < offset + length;) {
        const index = Math.floor(at / chunkBytes)
        const within = at % chunkBytes
        const end = Math.min(offset + length, (index + 1) * chunkBytes)
        const id = ids[index]
        if (id) (await chunk(id)).copy(target, at - offset, within, within + end - at)
        at = end
      }
      return target
    },
  }
}

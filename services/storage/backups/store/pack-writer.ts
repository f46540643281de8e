import type { Objects } from './objects.ts'
import { type Catalog, keyOfDamage, type Packed, type Place, writeIndex } from './catalog.ts'
import { decodeChunk, encodeChunk } from './chunks.ts'
import { DamagedPack, encodePack, keyOfPack } from './pack.ts'

/** A pack is written when it has so many bytes. */
const packBytes = 32 * 2 ** 20
/** Packs that are being written at a time; chunks wait while there are as many. */
const mostWriting = 2
/** Of the chunks that are in the store already, one in so many is read and compared. */
const checkedShare = 64

export type Stored = {
  /** Chunks that were not in the store, their bytes and those that they take there. */
  new_chunks: number
  new_bytes: number
  stored_bytes: number
  /** Chunks that were in the store already. */
  known_chunks: number
  /** Of these, chunks that were damaged there, and are stored again. */
  healed_chunks: number
}

/**
 * Writes chunks into packs of a store, each chunk once.
 * @param catalog the chunks that are there; those that are written are added
 */
export function packWriter(objects: Objects, catalog: Catalog, targetBytes = packBytes) {
  const stored: Stored = { new_chunks: 0, new_bytes: 0, stored_bytes: 0, known_chunks: 0, healed_chunks: 0 }
  const taken = new Set<string>()
  const writing = new Set<Promise<void>>()
  const written: Packed[] = []
  let open: { id: string; size: number; frame: Buffer }[] = []
  let openBytes = 0
  let seen = Math.floor(Math.random() * checkedShare)

  async function write(frames: typeof open): Promise<void> {
    const { id, bytes, rows } = await encodePack(frames, objects.encryption)
    await objects.put(keyOfPack(id), bytes)
    // A pack of the same chunks, which was damaged, is whole again.
    if (catalog.damage.delete(id)) await objects.remove(keyOfDamage(id))
    stored.stored_bytes += bytes.length
    written.push({ id, bytes: bytes.length, rows })
  }

  function close(): void {
    if (open.length === 0) return
    const begun = write(open)
    const tracked: Promise<void> = begun.finally(() => writing.delete(tracked))
    // Its failure is thrown by the next call.
    tracked.catch((error: unknown) => (failure ??= { error }))
    writing.add(tracked)
    open = []
    openBytes = 0
  }

  let failure: { error: unknown } | undefined
  const throwFailure = () => {
    if (failure) throw failure.error
  }

  /** Reads a chunk that is in the store. @returns false when it is damaged there */
  async function isWhole(id: string, { pack, offset, length, size }: Place): Promise<boolean> {
    try {
      await decodeChunk(await objects.get(keyOfPack(pack), { offset, length }), { id, size }, objects.encryption)
      return true
    } catch (error) {
      if (error instanceof DamagedPack) return false
      throw error
    }
  }

  return {
    /** Stores a chunk unless it is there. Several calls may be open at a time. */
    async add(id: string, chunk: Buffer): Promise<void> {
      throwFailure()
      const place = catalog.places.get(id)
      if (taken.has(id)) return void stored.known_chunks++
      if (place) {
        stored.known_chunks++
        if (++seen % checkedShare !== 0 || (await isWhole(id, place))) return
        stored.healed_chunks++
      }
      taken.add(id)
      const frame = await encodeChunk(id, chunk, objects.encryption)
      while (writing.size >= mostWriting) await Promise.race(writing)
      throwFailure()
      open.push({ id, size: chunk.length, frame })
      openBytes += frame.length
      stored.new_chunks++
      stored.new_bytes += chunk.length
      if (openBytes >= targetBytes) close()
    },

    /** Writes what is left, then the index: from then on the chunks can be found. */
    async finish(): Promise<Stored> {
      close()
      await Promise.all(writing)
      throwFailure()
      await writeIndex(objects, written)
      for (const { id, bytes, rows } of written) {
        catalog.stored.set(id, bytes)
        catalog.packs.set(id, { id, bytes, rows })
        for (const { id: chunk, ...place } of rows) catalog.places.set(chunk, { ...place, pack: id })
      }
      return stored
    },
  }
}

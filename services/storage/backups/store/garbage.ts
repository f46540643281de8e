import type { Packed } from './catalog.ts'

/** A pack of which less than this share is needed is written anew with its needed chunks only. */
const worthKeeping = 0.5

export type Garbage = {
  /** Packs without a needed chunk. */
  unused: string[]
  /** Packs that are mostly unneeded, with their needed chunks. */
  sparse: { pack: string; chunks: string[] }[]
  kept: string[]
  /** Bytes of frames in kept and sparse packs that no backup needs. */
  dead_bytes: number
  /** Needed chunks that are in no pack. */
  missing: string[]
}

/** The chunks for which each pack is needed: a chunk in several packs counts in the first, and in one with damage last. */
function assign(packs: readonly Packed[], needed: ReadonlySet<string>, lost: Lost): Map<string, string> {
  const packOf = new Map<string, string>()
  for (const isLost of [false, true])
    for (const { id: pack, rows } of packs)
      for (const { id } of rows)
        if (needed.has(id) && !packOf.has(id) && (lost.get(pack)?.has(id) ?? false) === isLost) packOf.set(id, pack)
  return packOf
}

/** Chunks that were found damaged, by pack. */
export type Lost = ReadonlyMap<string, ReadonlySet<string>>

/**
 * Decides about the packs of a store. A pack with a damaged chunk that nothing else has is kept as it is.
 * @param needed the chunks of all backups
 */
export function findGarbage(packs: readonly Packed[], needed: ReadonlySet<string>, lost: Lost): Garbage {
  const packOf = assign(packs, needed, lost)
  const missing = [...needed].filter((id) => !packOf.has(id))
  const garbage: Garbage = { unused: [], sparse: [], kept: [], dead_bytes: 0, missing }
  for (const { id, bytes, rows } of packs) {
    const live = rows.filter((row) => packOf.get(row.id) === id)
    const liveBytes = live.reduce((sum, { length }) => sum + length, 0)
    const all = rows.reduce((sum, { length }) => sum + length, 0)
    const isDamaged = live.some((row) => lost.get(id)?.has(row.id))
    if (live.length === 0) garbage.unused.push(id)
    else if (liveBytes < bytes * worthKeeping && !isDamaged)
      garbage.sparse.push({ pack: id, chunks: live.map((row) => row.id) })
    else garbage.kept.push(id)
    if (live.length > 0) garbage.dead_bytes += all - liveBytes
  }
  return garbage
}

import { countOf } from '#shared/db/commands.ts'
import { removeAll } from '#shared/db/guarded.ts'
import { readMany } from '#shared/db/read.ts'
import { chunkModel, type StoredChunk, type Tier, tiers } from './chunks.ts'

/** Most bytes of each tier in the store. */
const mostBytes: Record<Tier, number> = { raw: 2 ** 30, minute: 2 ** 31, ten_minutes: 2 ** 31 }

const pageSize = 5000
/** No chunk has more bytes than this. */
const largestChunk = 2 ** 18

/**
 * The end of the newest chunk that has to go so that the rest fits; null if all fits.
 * @param pages sizes of chunks, the newest first
 */
export async function cutBy(
  most: number,
  pages: AsyncIterable<readonly Pick<StoredChunk, 'end' | 'bytes'>[]>,
): Promise<number | null> {
  let sum = 0
  for await (const page of pages)
    for (const { end, bytes } of page) {
      sum += bytes
      if (sum > most) return end
    }
  return null
}

async function* newestFirst(tier: Tier) {
  for (let skip = 0; ; skip += pageSize) {
    const how = { sort: { end: -1 }, skip, limit: pageSize, fields: ['end', 'bytes'] } as const
    const page = await readMany<Pick<StoredChunk, 'end' | 'bytes'>>(chunkModel, { tier }, how)
    if (page.length > 0) yield page
    if (page.length < pageSize) return
  }
}

/** Deletes chunks that are too old, and the oldest ones of a tier that has too many bytes. @returns how many */
export async function sweepHistory(now: number, most: Record<Tier, number> = mostBytes): Promise<number> {
  let removed = 0
  for (const tier of Object.keys(tiers) as Tier[]) {
    removed += await removeAll(chunkModel, { tier, end: { $lt: now - tiers[tier].keptMs } })
    // Reading all sizes takes long, and few chunks cannot be too many.
    if ((await countOf(chunkModel, { tier })) * largestChunk < most[tier]) continue
    const cut = await cutBy(most[tier], newestFirst(tier))
    if (cut !== null) removed += await removeAll(chunkModel, { tier, end: { $lte: cut } })
  }
  return removed
}

import { setImmediate as turn } from 'node:timers/promises'
import {
  chunkId,
  chunkOf,
  findChunks,
  kindOf,
  openChunksBefore,
  startOf,
  type StoredChunk,
  type SubjectName,
  tableOf,
  type Tier,
  tiers,
  writeChunks,
} from './chunks.ts'
import type { Ring } from './ring.ts'
import { rollUpTable } from './roll-up.ts'
import { between, concat, emptyTable, type Table } from './table.ts'

/** A subject whose samples are in a ring of this process. */
export type Flushed = { subject: SubjectName; ring: Ring; intervalMs: number }

/** A window of a subject that is not rolled up yet. `before`: rows of it that the ring does not have, from the store;
 * `writtenTo`: time of the last row that the store has. */
type Window = { start: number; before: Table; writtenTo: number }

/** Subjects of one write: a fleet has ten thousand. */
const flushedAtOnce = 100

const rawMs = tiers.raw.chunkMs

/** Time after the end of a window for rows that are late. Milliseconds. */
const graceMs = 1000

/**
 * Writes the samples of rings into chunks: the open window again and again, so that a crash loses the time since the last
 * write; a window that has ended once more, with its roll-ups.
 */
export function createFlusher() {
  const windows = new Map<SubjectName, Window>()

  /** Begins windows of subjects that are new here; the rows of another replica are read from the store. */
  const begin = async (subjects: readonly Flushed[]) => {
    const fresh = subjects.filter(({ subject, ring }) => !windows.has(subject) && ring.size() > 0)
    const starts = new Map(fresh.map(({ subject, ring }) => [subject, startOf('raw', ring.firstTime())]))
    const stored = await findChunks([...starts].map(([subject, start]) => chunkId(subject, 'raw', start)))
    const found = new Map(stored.map((chunk) => [chunk.subject, chunk]))
    for (const [subject, start] of starts) {
      const chunk = found.get(subject)
      windows.set(subject, { start, before: chunk ? tableOf(chunk) : emptyTable(), writtenTo: -Infinity })
    }
  }

  const rowsOf = ({ subject, ring }: Flushed): Table => {
    const { start, before } = windows.get(subject)!
    const earlier = between(before, start, Math.min(ring.firstTime(), start + rawMs))
    return concat([earlier, ring.table(start, start + rawMs)])
  }

  /** The windows that have ended, and of each subject the one that is open. */
  const take = (one: Flushed, now: number) => {
    const window = windows.get(one.subject)!
    const closed: { start: number; rows: Table }[] = []
    while (now >= window.start + rawMs + graceMs) {
      const rows = rowsOf(one)
      if (rows.length > 0) closed.push({ start: window.start, rows })
      const next = Math.max(window.start + rawMs, startOf('raw', one.ring.firstTime()))
      if (next > now) {
        window.start = startOf('raw', now)
        window.before = emptyTable()
        break
      }
      window.start = next
      window.before = emptyTable()
    }
    return { closed, open: one.ring.lastTime() > window.writtenTo ? rowsOf(one) : emptyTable() }
  }

  const flushSome = async (subjects: readonly Flushed[], now: number): Promise<number> => {
    await begin(subjects)
    const present = subjects.filter(({ subject }) => windows.has(subject))
    const chunks: StoredChunk[] = []
    const ended: Ended[] = []
    const reached = present.map(({ subject, ring }) => ({ subject, to: ring.lastTime() }))
    for (const one of present) {
      const { subject, ring, intervalMs } = one
      const { closed, open } = take(one, now)
      for (const { start, rows } of closed) {
        chunks.push(chunkOf(subject, 'raw', start, rows))
        // The row before the window belongs to its first rate.
        const samples = concat([ring.table(start - 3 * intervalMs, start), rows])
        ended.push({ subject, intervalMs, start, samples })
      }
      if (open.length > 0) chunks.push(chunkOf(subject, 'raw', windows.get(subject)!.start, open, true))
    }
    chunks.push(...(await rollUps(ended)))
    await writeChunks(chunks)
    for (const { subject, to } of reached) {
      const window = windows.get(subject)
      if (window) window.writtenTo = to
    }
    return chunks.length
  }

  return {
    /** Writes what is new, a part of the subjects after the other, so that others have their turn between them. */
    async flush(subjects: readonly Flushed[], now: number): Promise<number> {
      let written = 0
      for (let at = 0; at < subjects.length; at += flushedAtOnce) {
        written += await flushSome(subjects.slice(at, at + flushedAtOnce), now)
        await turn()
      }
      return written
    },
    /** Forgets a subject that another replica samples, or that is gone. */
    forget: (subject: SubjectName) => windows.delete(subject),
  }
}

type Ended = { subject: SubjectName; intervalMs: number; start: number; samples: Table }

const rolledTiers: readonly Tier[] = ['minute', 'ten_minutes']

/** The chunks of the roll-up tiers with these windows in them. A window that is there already is replaced. */
async function rollUps(ended: readonly Ended[]): Promise<StoredChunk[]> {
  if (ended.length === 0) return []
  const places = ended.flatMap((one) =>
    rolledTiers.map((tier) => ({ ...one, tier, id: chunkId(one.subject, tier, startOf(tier, one.start)) })),
  )
  const stored = await findChunks([...new Set(places.map(({ id }) => id))])
  const tables = new Map(stored.map((chunk) => [chunk._id, tableOf(chunk)]))
  const made = new Map<string, StoredChunk>()
  for (const { subject, intervalMs, start, samples, tier, id } of places) {
    const span = [start, start + rawMs] as const
    const rows = rollUpTable(kindOf(subject), samples, intervalMs, span, tiers[tier].rowMs)
    const known = tables.get(id) ?? emptyTable()
    const table = concat([between(known, -Infinity, span[0]), rows, between(known, span[1], Infinity)])
    tables.set(id, table)
    if (table.length > 0) made.set(id, chunkOf(subject, tier, startOf(tier, start), table))
  }
  return [...made.values()]
}

/** Rolls up the windows that a replica left open when it ended. */
export async function rollUpLeftovers(intervalOf: (subject: SubjectName) => number, now: number): Promise<number> {
  const left = await openChunksBefore(now - rawMs)
  const ended = left.map((chunk) => {
    const subject = chunk.subject as SubjectName
    return { subject, intervalMs: intervalOf(subject), start: chunk.start, samples: tableOf(chunk) }
  })
  const rolled = await rollUps(ended)
  await writeChunks([...rolled, ...left.map(({ open: _, ...chunk }) => chunk)])
  return left.length
}

import { Type } from 'typebox'
import type { SubjectKind } from '#shared/contracts/metrics/catalog.ts'
import { putAll } from '#shared/db/bulk.ts'
import { modelOf } from '#shared/db/model.ts'
import { readMany } from '#shared/db/read.ts'
import { decodeColumns, encodeColumns } from './codec.ts'
import { emptyTable, type Identity, type Table } from './table.ts'

const minuteMs = 60_000
const hourMs = 60 * minuteMs
const dayMs = 24 * hourMs

export type Tier = 'raw' | 'minute' | 'ten_minutes'

/** Each tier: the time span of one chunk, how long it is kept, and the distance of its rows (raw: as measured). */
export const tiers: Record<Tier, { chunkMs: number; keptMs: number; rowMs: number }> = {
  raw: { chunkMs: 10 * minuteMs, keptMs: dayMs, rowMs: 0 },
  minute: { chunkMs: 4 * hourMs, keptMs: 14 * dayMs, rowMs: minuteMs },
  ten_minutes: { chunkMs: 2 * dayMs, keptMs: 366 * dayMs, rowMs: 10 * minuteMs },
}

/** One chunk: the samples of a subject in one time span, as compressed columns. */
const Chunk = Type.Object({
  id: Type.String(),
  subject: Type.String(),
  tier: Type.String(),
  start: Type.Number(),
  end: Type.Number(),
  rows: Type.Integer(),
  bytes: Type.Integer(),
  columns: Type.Array(Type.String()),
  identities: Type.Array(Type.Object({ id: Type.String(), node: Type.String() })),
  data: Type.Any(),
  open: Type.Optional(Type.Boolean({ description: 'Its rows are not rolled up yet' })),
})
export type StoredChunk = {
  _id: string
  subject: string
  tier: Tier
  start: number
  end: number
  rows: number
  bytes: number
  columns: string[]
  identities: Identity[]
  data: unknown
  open?: boolean
}

export const chunkModel = modelOf('metric_chunks', Chunk, [
  { fields: { subject: 1, tier: 1, start: 1 } },
  { fields: { tier: 1, end: 1 } },
  { fields: { open: 1 }, sparse: true },
])

/** A node, VM or container, as `nodes/local`. */
export type SubjectName = `${SubjectKind}/${string}`
export const idOf = (subject: SubjectName) => subject.slice(subject.indexOf('/') + 1)
export const kindOf = (subject: SubjectName) => subject.slice(0, subject.indexOf('/')) as SubjectKind

export const startOf = (tier: Tier, time: number) => Math.floor(time / tiers[tier].chunkMs) * tiers[tier].chunkMs
export const chunkId = (subject: SubjectName, tier: Tier, start: number) => `${subject}/${tier}/${start}`

/** A chunk as a document. */
export function chunkOf(subject: SubjectName, tier: Tier, start: number, table: Table, isOpen = false): StoredChunk {
  const columns = [...table.columns.keys()]
  const clock = table.steady.map((value, index) => value - table.times[index]!)
  const all = [table.times, clock, table.identity, table.quality, ...table.columns.values()]
  // Of a roll-up most readers want one metric.
  const data = encodeColumns(all, tier === 'raw' ? {} : { lossy: true, layout: 'split' })
  return {
    _id: chunkId(subject, tier, start),
    subject,
    tier,
    start,
    end: start + tiers[tier].chunkMs,
    rows: table.length,
    bytes: data.length,
    columns,
    identities: [...table.identities],
    data,
    ...(isOpen && { open: true }),
  }
}

const fixedColumns = 4

/** The samples of a chunk. @param wanted only these columns are decoded */
export function tableOf(chunk: StoredChunk, wanted?: ReadonlySet<string>): Table {
  if (chunk.rows === 0) return emptyTable(chunk.columns)
  const isWanted = (name: string) => !wanted || wanted.has(name)
  const indexes = chunk.columns.flatMap((name, index) => (isWanted(name) ? [index + fixedColumns] : []))
  const all = decodeColumns(bytesOf(chunk.data), new Set([0, 1, 2, 3, ...indexes]))
  const [times, clock, identity, quality] = all as [Float64Array, Float64Array, Float64Array, Float64Array]
  return {
    length: chunk.rows,
    times,
    steady: clock.map((value, index) => value + times[index]!),
    identity,
    quality,
    identities: chunk.identities,
    columns: new Map(indexes.map((index) => [chunk.columns[index - fixedColumns]!, all[index]!])),
  }
}

/** The driver gives binary data as an object of BSON. */
const bytesOf = (data: unknown): Uint8Array =>
  data instanceof Uint8Array ? data : (data as { value: () => Uint8Array }).value()

export const writeChunks = (chunks: readonly StoredChunk[]) => putAll(chunkModel, chunks)

export const findChunks = (ids: readonly string[]): Promise<StoredChunk[]> =>
  ids.length === 0 ? Promise.resolve([]) : readMany<StoredChunk>(chunkModel, { _id: { $in: ids } })

/** The chunks of a subject that overlap a time span, in order. */
export const chunksBetween = (subject: SubjectName, tier: Tier, from: number, to: number): Promise<StoredChunk[]> =>
  readMany<StoredChunk>(
    chunkModel,
    { subject, tier, start: { $gte: startOf(tier, from), $lt: to } },
    { sort: { start: 1 } },
  )

/** Chunks whose replica ended before it rolled them up. */
export const openChunksBefore = (time: number): Promise<StoredChunk[]> =>
  readMany<StoredChunk>(chunkModel, { open: true, end: { $lte: time } }, { sort: { start: 1 }, limit: 5000 })

import { setImmediate as nextTurn } from 'node:timers/promises'
import { MAX_DOCUMENT_BYTES } from '../values/bson.ts'
import { cursorReply } from '../wire/cursor-reply.ts'
import type { Catalog } from '../storage/catalog.ts'
import type { Cursor, Cursors, DocumentStream } from './cursors.ts'
import { CommandError } from '../errors.ts'

/** The context of reading commands. */
export type Reader = { catalog: Catalog; cursors: Cursors }

/** A long read gives way to others after this time. */
const TURN_MS = 15
const FIRST_BATCH = 101
/** A batch may have 16 MB; smaller ones take less memory at both ends and cost nothing. */
const BATCH_BYTES = 4 * 1024 * 1024

export type Deadline = { atMs: number | undefined }

export const deadlineOf = (maxTimeMs: number | undefined): Deadline => ({
  atMs: maxTimeMs ? performance.now() + maxTimeMs : undefined,
})

const checkDeadline = ({ atMs }: Deadline): void => {
  if (atMs !== undefined && performance.now() > atMs) throw new CommandError(50, 'operation exceeded time limit')
}

type Outcome = 'ended' | 'full' | 'pause'

const turn = <T>(stream: Generator<T | null>, accept: (value: T) => boolean): Outcome => {
  const endMs = performance.now() + TURN_MS
  for (;;) {
    const next = stream.next()
    if (next.done) return 'ended'
    if (next.value !== null && accept(next.value)) return 'full'
    if (performance.now() > endMs) return 'pause'
  }
}

/**
 * Pulls from a stream until `accept` says stop, or it ends (the result is then true). Between turns other connections are
 * served, so that a stream of several turns is not of one moment.
 */
export const drain = async <T>(
  stream: Generator<T | null>,
  accept: (value: T) => boolean,
  deadline: Deadline = { atMs: undefined },
): Promise<boolean> => {
  for (;;) {
    const outcome = turn(stream, accept)
    checkDeadline(deadline)
    if (outcome !== 'pause') return outcome === 'ended'
    await nextTurn()
  }
}

type Batch = { documents: Uint8Array[]; bytes: number }

const fits = (batch: Batch, document: Uint8Array): boolean =>
  batch.documents.length === 0 || batch.bytes + document.length < BATCH_BYTES

const add = (batch: Batch, document: Uint8Array): void => {
  batch.documents.push(document)
  batch.bytes += document.length + 16
}

/** Fills a batch; gives the document that no longer fits, and whether the stream has ended. */
const fill = async (
  stream: DocumentStream,
  held: Uint8Array | undefined,
  size: number,
  deadline: Deadline,
): Promise<{ documents: Uint8Array[]; held: Uint8Array | undefined; ended: boolean }> => {
  const batch: Batch = { documents: [], bytes: 0 }
  if (held) add(batch, held)
  let left: Uint8Array | undefined
  if (batch.documents.length >= size) return { documents: batch.documents, held: undefined, ended: false }
  const ended = await drain(
    stream,
    (document) => {
      if (document.length > MAX_DOCUMENT_BYTES + 16 * 1024)
        throw new CommandError(10334, 'A result is larger than 16 MB')
      if (!fits(batch, document)) {
        left = document
        return true
      }
      add(batch, document)
      return batch.documents.length >= size
    },
    deadline,
  )
  return { documents: batch.documents, held: left, ended }
}

export type FirstBatch = {
  namespace: string
  batchSize: number | undefined
  single: boolean
  session: string | undefined
  deadline: Deadline
}

/** The answer with the first batch; a cursor stays open when there is more. */
export const firstBatch = async (reader: Reader, stream: DocumentStream, options: FirstBatch): Promise<Buffer> => {
  const size = options.batchSize ?? FIRST_BATCH
  const { documents, held, ended } =
    size === 0
      ? { documents: [], held: undefined, ended: false }
      : await fill(stream, undefined, size, options.deadline)
  const isOpen = !ended && !options.single
  const { namespace, session } = options
  const id = isOpen ? reader.cursors.add({ namespace, stream, held, session }).id : 0n
  return cursorReply('firstBatch', documents, id, namespace)
}

/** The answer to getMore. */
export const nextBatch = async (
  reader: Reader,
  cursor: Cursor,
  batchSize: number | undefined,
  deadline: Deadline,
): Promise<Buffer> => {
  try {
    const size = batchSize || Infinity
    const { documents, held, ended } = await fill(cursor.stream, cursor.held, size, deadline)
    cursor.held = held
    cursor.lastUsedMs = Date.now()
    if (ended) reader.cursors.kill(cursor.id)
    return cursorReply('nextBatch', documents, ended ? 0n : cursor.id, cursor.namespace)
  } catch (error) {
    reader.cursors.kill(cursor.id)
    throw error
  }
}

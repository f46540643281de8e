import { randomBytes } from 'node:crypto'
import { CommandError } from '../errors.ts'

/** A stream of answers that goes on from one getMore to the next; null in it is a place to pause. */
export type DocumentStream = Generator<Uint8Array | null>

export type Cursor = {
  id: bigint
  namespace: string
  stream: DocumentStream
  /** A document that no longer fitted into the last batch. */
  held: Uint8Array | undefined
  lastUsedMs: number
  session: string | undefined
}

export type Cursors = {
  add: (cursor: Omit<Cursor, 'id' | 'lastUsedMs'>) => Cursor
  take: (id: bigint, namespace: string) => Cursor
  kill: (id: bigint) => boolean
  killSession: (session: string) => void
  sweep: () => void
  readonly open: number
}

const IDLE_MS = 10 * 60 * 1000
const MAX_CURSORS = 2000

/** The open cursors. One that is not asked for ten minutes is closed, as with MongoDB. */
export const createCursors = (): Cursors => {
  const cursors = new Map<bigint, Cursor>()
  const sweep = (): void => {
    const oldest = Date.now() - IDLE_MS
    for (const [id, { lastUsedMs }] of cursors) if (lastUsedMs < oldest) cursors.delete(id)
  }
  return {
    add: (cursor) => {
      if (cursors.size >= MAX_CURSORS) sweep()
      if (cursors.size >= MAX_CURSORS)
        throw new CommandError(146, `There are ${MAX_CURSORS} open cursors already: close some or read them to the end`)
      // random, so that one client does not come upon another's cursor
      const added = { ...cursor, id: BigInt(`0x${randomBytes(7).toString('hex')}`) | 1n, lastUsedMs: Date.now() }
      cursors.set(added.id, added)
      return added
    },
    take: (id, namespace) => {
      const cursor = cursors.get(id)
      if (!cursor) throw new CommandError(43, `cursor id ${id} not found`)
      if (cursor.namespace !== namespace)
        throw new CommandError(
          13,
          `Requested getMore on namespace '${namespace}', but cursor belongs to a different namespace ${cursor.namespace}`,
        )
      cursor.lastUsedMs = Date.now()
      return cursor
    },
    kill: (id) => cursors.delete(id),
    killSession: (session) => {
      for (const [id, cursor] of cursors) if (cursor.session === session) cursors.delete(id)
    },
    sweep,
    get open() {
      return cursors.size
    },
  }
}

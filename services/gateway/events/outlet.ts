import type { Writable } from 'node:stream'

/** More than this waiting to be read is too slow. Bytes. */
export const maxBacklogBytes = 1_048_576
/** Old events are sent on while less than this waits. Bytes. */
const easyBacklogBytes = 262_144
const drainWithinMs = 30_000

/** The way to one reader. */
export type Outlet = {
  /** Sends bytes; a reader that is over its backlog is told and closed. */
  write: (bytes: Buffer) => void
  /** Resolves once the reader has read most of what it was sent; false when it is gone or does not read. */
  ready: () => Promise<boolean>
}

/** @param isOpen whether it may still be written to @param tooSlow says so to the reader and closes */
export function createOutlet(
  stream: Writable,
  backlog: () => number,
  { isOpen, tooSlow }: { isOpen: () => boolean; tooSlow: () => void },
): Outlet {
  const write = (bytes: Buffer) => {
    if (!isOpen()) return
    stream.write(bytes)
    if (backlog() > maxBacklogBytes) tooSlow()
  }
  const ready = async () => {
    if (!isOpen()) return false
    if (backlog() < easyBacklogBytes) return true
    const { promise, resolve } = Promise.withResolvers<boolean>()
    const drained = () => resolve(true)
    const closed = () => resolve(false)
    const timer = setTimeout(() => {
      tooSlow()
      resolve(false)
    }, drainWithinMs)
    stream.once('drain', drained).once('close', closed)
    return promise.finally(() => {
      clearTimeout(timer)
      stream.off('drain', drained).off('close', closed)
    })
  }
  return { write, ready }
}

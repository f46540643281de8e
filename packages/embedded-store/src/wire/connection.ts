import type { Socket } from 'node:net'
import { MAX_MESSAGE_BYTES, MAX_STRANGER_BYTES, type Message, messageLength, parseMessage } from './messages.ts'

type Options = {
  /** True if the client may send long messages. */
  isTrusted: () => boolean
  /** Gives the parts of the answer, or none. */
  answer: (message: Message) => Promise<Uint8Array[]>
}

/** A silent stranger does not keep its connection; a driver's monitor never logs in, but asks every ten seconds. */
const STRANGER_MS = 5 * 60_000

const written = (socket: Socket, parts: Uint8Array[]): Promise<void> => {
  socket.cork()
  let flowing = true
  for (const part of parts) flowing = socket.write(part)
  socket.uncork()
  if (flowing || socket.destroyed) return Promise.resolve()
  const { promise, resolve } = Promise.withResolvers<void>()
  const done = (): void => {
    socket.off('drain', done)
    socket.off('close', done)
    resolve()
  }
  socket.once('drain', done)
  socket.once('close', done)
  return promise
}

/**
 * Serves one connection: messages are answered one after the other, and the next one is read only after the client has
 * taken the answer. A malformed message ends only this connection.
 */
export const serve = (socket: Socket, { isTrusted, answer }: Options): void => {
  let chunks: Buffer[] = []
  let size = 0
  let busy = false

  const buffered = (): Buffer => {
    if (chunks.length !== 1) chunks = [Buffer.concat(chunks, size)]
    return chunks[0] as Buffer
  }

  const firstBytes = (): Buffer => ((chunks[0]?.length ?? 0) >= 4 ? (chunks[0] as Buffer) : buffered())

  const nextMessage = (): Buffer | undefined => {
    const length =
      size < 4 ? undefined : messageLength(firstBytes(), isTrusted() ? MAX_MESSAGE_BYTES : MAX_STRANGER_BYTES)
    if (length === undefined || size < length) return undefined
    const all = buffered()
    chunks = all.length > length ? [all.subarray(length)] : []
    size -= length
    return all.subarray(0, length)
  }

  const work = async (): Promise<void> => {
    for (let raw = nextMessage(); raw; raw = nextMessage()) {
      socket.pause()
      await written(socket, await answer(parseMessage(raw)))
      if (socket.destroyed) return
    }
    socket.resume()
  }

  const start = (): void => {
    if (busy) return
    busy = true
    work()
      .catch(() => socket.destroy())
      .finally(() => {
        busy = false
      })
  }

  socket.setNoDelay(true)
  socket.setTimeout(STRANGER_MS, () => {
    if (isTrusted()) socket.setTimeout(0)
    else socket.destroy()
  })
  socket.on('error', () => socket.destroy())
  socket.on('data', (chunk: Buffer) => {
    chunks.push(chunk)
    size += chunk.length
    start()
  })
}

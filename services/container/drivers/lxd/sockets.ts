import { Writable } from 'node:stream'
import { WebSocket } from 'ws'
import { UnavailableError } from '#shared/errors.ts'
import type { Api } from '#shared/nodes/lxd/client.ts'

/** A WebSocket of a background operation: one stream of a command, or a console. */
export type EngineSocket = {
  socket: WebSocket
  /** The messages to the end of the stream, read only as fast as they are taken. */
  data: AsyncIterable<Buffer>
}

const openWithinMs = 20_000
/** More than this waiting to be taken stops the socket. Bytes. */
const highBytes = 262_144

/** @throws UnavailableError */
export async function openSocket({ name, socketPath }: Api, path: string): Promise<EngineSocket> {
  const socket = new WebSocket(`ws+unix:${socketPath}:${path}`, {
    perMessageDeflate: false,
    handshakeTimeout: openWithinMs,
  })
  const data = dataOf(socket)
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  socket.once('open', resolve)
  socket.on('error', (cause) => reject(new UnavailableError(`${name}: a stream could not be opened`, { cause })))
  await promise
  return { socket, data }
}

/**
 * Listens at once: a message may come before anybody reads. An empty text is the end of a stream (LXD and Incus, "Instance
 * console and exec").
 */
function dataOf(socket: WebSocket): AsyncIterable<Buffer> {
  const queue: Buffer[] = []
  let bytes = 0
  let isOver = false
  let wake = () => {}
  const end = () => {
    isOver = true
    wake()
  }
  socket.on('message', (message: Buffer, isBinary) => {
    if (message.length === 0) return isBinary ? undefined : end()
    queue.push(message)
    bytes += message.length
    if (bytes > highBytes) socket.pause()
    wake()
  })
  socket.on('close', end)
  const take = (): Buffer => {
    const next = queue.shift()!
    bytes -= next.length
    if (socket.isPaused && bytes < highBytes / 2) socket.resume()
    return next
  }
  return (async function* () {
    for (;;) {
      while (queue.length > 0) yield take()
      if (isOver) return
      await new Promise<void>((resolve) => (wake = resolve))
    }
  })()
}

/** The input of a command. Waits while the engine does not read. */
export const writableTo = (socket: WebSocket): Writable =>
  new Writable({
    write: (chunk: Buffer, _encoding, done) => socket.send(chunk, { binary: true }, (error) => done(error ?? null)),
    final: (done) => socket.send('', { binary: false }, () => done()),
  })

import { Writable } from 'node:stream'
import type { Duplex } from 'node:stream'
import { UnavailableError } from '#shared/errors.ts'
import type { Host } from '../host/host.ts'

/** A request whose body is sent as it comes. */
export type Upload = {
  input: Writable
  close: () => void
  /** The answer; also an early one, of an engine that refuses the rest. @throws UnavailableError when the engine goes */
  answer: () => Promise<{ status: number; text: string }>
}

const chunkEnd = Buffer.from('\r\n')

/** Sends a tar archive by PUT, in chunks (RFC 9112, section 7.1). @param name the engine, for messages */
export async function openUpload(host: Host, socketPath: string, name: string, path: string): Promise<Upload> {
  const socket = await host.openSocket({ path: socketPath })
  socket.on('error', () => undefined)
  const head = [
    `PUT ${path} HTTP/1.1`,
    'Host: engine',
    'Connection: close',
    'Content-Type: application/x-tar',
    'Transfer-Encoding: chunked',
  ]
  socket.write(`${head.join('\r\n')}\r\n\r\n`)
  const answered = answerOf(socket, name)
  answered.catch(() => undefined)
  const input = new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      if (socket.destroyed || chunk.length === 0) return done()
      socket.write(Buffer.concat([Buffer.from(`${chunk.length.toString(16)}\r\n`), chunk, chunkEnd]), () => done())
    },
    final: (done) => {
      if (socket.destroyed) return done()
      socket.write('0\r\n\r\n', () => done())
    },
  })
  return { input, close: () => socket.destroy(), answer: () => answered }
}

async function answerOf(socket: Duplex, name: string): Promise<{ status: number; text: string }> {
  const parts: Buffer[] = []
  try {
    // A socket yields buffers unless it is given an encoding.
    for await (const part of socket as AsyncIterable<Buffer>) parts.push(part)
  } catch (error) {
    throw new UnavailableError(`${name} does not answer`, { cause: error })
  }
  const whole = Buffer.concat(parts).toString('utf8')
  const status = Number(/^HTTP\/1\.\d (\d{3})/.exec(whole)?.[1] ?? 0)
  if (status === 0) throw new UnavailableError(`${name} does not answer`)
  const body = whole.slice(whole.indexOf('\r\n\r\n') + 4)
  // The body of a refusal is one JSON object, maybe in chunks.
  const [text = ''] = /\{[^]*\}/.exec(body) ?? []
  return { status, text }
}

import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Duplex } from 'node:stream'
import { afterEach, expect, test } from 'vitest'
import { WebSocket, WebSocketServer } from 'ws'
import { shortReason } from '../../../services/gateway/sessions/closing.ts'
import { pump } from '../../../services/gateway/console/pump.ts'
import { until } from '../../lab/wait.ts'

const MiB = 2 ** 20
/** What may wait on the way: here, and in the kernel's buffers of both ends of a loopback connection. */
const bound = 16 * MiB
const undo: (() => void)[] = []
afterEach(() => {
  for (const step of undo.splice(0)) step()
})

/** A browser's end of a WebSocket whose other end is joined with the source. */
async function joined(source: Duplex): Promise<WebSocket> {
  const server = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  new WebSocketServer({ server, perMessageDeflate: false }).on('connection', (socket) => {
    socket.on('error', () => undefined)
    pump(socket, source, () => socket.close())
  })
  // A server that listens on a port has an address of this kind.
  const client = new WebSocket(`ws://127.0.0.1:${(server.address() as AddressInfo).port}`)
  undo.push(
    () => client.terminate(),
    () => server.close(),
    () => source.destroy(),
  )
  await new Promise((resolve) => client.once('open', resolve))
  return client
}

/** Whether a number has stopped to grow. */
async function settled(value: () => number): Promise<number> {
  let last = -1
  await until(
    () => {
      const isSame = value() === last
      last = value()
      return isSame
    },
    { intervalMs: 300 },
  )
  return last
}

test('a browser that does not read stops the source; when it reads, nothing is missing', async () => {
  const wanted = 64 * MiB
  let made = 0
  const source = new Duplex({
    read() {
      if (made >= wanted) return void this.push(null)
      const chunk = Buffer.alloc(65_536, made / 65_536)
      made += chunk.length
      setImmediate(() => this.push(chunk))
    },
    write: (_chunk, _encoding, done) => done(),
  })
  const client = await joined(source)
  client.pause()
  let received = 0
  client.on('message', (data: Buffer) => (received += data.length))
  await until(() => made > MiB)
  expect(await settled(() => made)).toBeLessThan(bound)
  client.resume()
  await until(() => received === wanted, { what: 'the rest' })
})

test('a browser that floods a socket which takes nothing is stopped', async () => {
  let waiting: (() => void) | undefined
  let taken = 0
  const source = new Duplex({
    read: () => undefined,
    write: (chunk: Buffer, _encoding, done) => {
      taken += chunk.length
      waiting = done
    },
  })
  const client = await joined(source)
  for (let sent = 0; sent < 64; sent++) client.send(Buffer.alloc(MiB))
  await until(() => taken > 0)
  await settled(() => client.bufferedAmount)
  // What has not left the client is not here.
  expect(64 * MiB - client.bufferedAmount).toBeLessThan(bound)
  expect(source.writableLength).toBeLessThanOrEqual(2 * MiB)
  expect(waiting).toBeDefined()
})

test('a source that ends closes the browser once', async () => {
  const source = new Duplex({ read: () => undefined, write: (_chunk, _encoding, done) => done() })
  const client = await joined(source)
  const closed = new Promise((resolve) => client.once('close', resolve))
  source.push(null)
  await closed
})

test('a reason fits into a close frame, also when its letters take several bytes', () => {
  expect(shortReason('stopped')).toBe('stopped')
  const short = shortReason('ü'.repeat(100))
  expect(Buffer.byteLength(short)).toBeLessThanOrEqual(123)
  expect(short).toMatch(/^ü+…$/)
})

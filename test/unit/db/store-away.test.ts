import { connect, createServer, type Server, type Socket } from 'node:net'
import { once } from 'node:events'
import mongoose from 'mongoose'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { setConfig } from '#shared/config/config.ts'
import { connectStore, disconnectStore } from '#shared/db/connect.ts'
import { otherServer, startTestStore, type TestStore } from '@horcrux/embedded-store/test-store'

/** The client's command to sign in, after the handshake. */
const signIn = 'saslStart'

let store: TestStore
let door: Server
const sockets = new Set<Socket>()
/** Number of clients whose store goes away while they sign in. */
let cuts = 0

beforeAll(async () => {
  store = await startTestStore()
  const { hostname, port } = new URL(store.url('away'))
  door = createServer((client) => {
    const server = connect(Number(port || 27_017), hostname)
    for (const socket of [client, server]) {
      sockets.add(socket)
      socket.on('error', () => undefined)
      socket.on('close', () => {
        client.destroy()
        server.destroy()
      })
    }
    server.pipe(client)
    client.on('data', (chunk) => {
      if (cuts > 0 && chunk.includes(signIn)) {
        cuts--
        client.resetAndDestroy()
      } else server.write(chunk)
    })
  })
  door.listen(0, '127.0.0.1')
  await once(door, 'listening')
})
afterAll(async () => {
  await disconnectStore()
  for (const socket of sockets) socket.destroy()
  door.close()
  await store.stop()
})

test.skipIf(otherServer)(
  'a process that starts while the store goes away waits, and connects when it is back',
  async () => {
    const url = new URL(store.url('away'))
    url.host = `127.0.0.1:${(door.address() as { port: number }).port}`
    setConfig({ dataDir: '/nonexistent', logLevel: 'silent', mongodbUrl: url.href })
    cuts = 2
    await connectStore()
    expect(cuts).toBe(0)
    expect(await mongoose.connection.db!.command({ ping: 1 })).toMatchObject({ ok: 1 })
  },
)

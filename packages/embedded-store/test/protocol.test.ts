import { createConnection, type Socket } from 'node:net'
import { serialize } from 'bson'
import fc from 'fast-check'
import { Long, MongoClient } from 'mongodb'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startEmbeddedStore } from '../src/server.ts'
import { PASSWORD, serverError, startOwnStore, type OwnStore, USER } from './lab.ts'

let lab: OwnStore
beforeAll(async () => {
  lab = await startOwnStore()
})
afterAll(() => lab.stop())

const connect = async (): Promise<Socket> => {
  const socket = createConnection(lab.store.port, lab.store.host)
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  socket.once('connect', resolve)
  socket.once('error', reject)
  await promise
  return socket
}

const closed = async (socket: Socket): Promise<void> => {
  const { promise, resolve } = Promise.withResolvers<void>()
  socket.on('error', () => {})
  socket.once('close', () => resolve())
  if (socket.destroyed) resolve()
  socket.resume()
  await promise
}

const opMsg = (body: object, flags = 0): Buffer => {
  const section = serialize(body)
  const message = Buffer.alloc(21 + section.length)
  message.writeInt32LE(message.length, 0)
  message.writeInt32LE(1, 4)
  message.writeInt32LE(2013, 12)
  message.writeUInt32LE(flags, 16)
  message.set(section, 21)
  return message
}

test('a wrong password, an unknown user and another database are refused with code 18', async () => {
  const { host, port } = lab.store
  const attempts = [
    `mongodb://${USER}:wrong@${host}:${port}/?authSource=admin`,
    `mongodb://nobody:${encodeURIComponent(PASSWORD)}@${host}:${port}/?authSource=admin`,
    `mongodb://${USER}:${encodeURIComponent(PASSWORD)}@${host}:${port}/?authSource=other`,
  ]
  for (const url of attempts) expect((await serverError(MongoClient.connect(url))).code).toBe(18)
})

test('without a password only the handshake is answered', async () => {
  const client = await MongoClient.connect(`mongodb://${lab.store.host}:${lab.store.port}/`)
  const db = client.db('test')
  expect(await db.command({ ping: 1 })).toMatchObject({ ok: 1 })
  expect(await db.command({ buildInfo: 1 })).toMatchObject({ ok: 1 })
  const refused = [
    { find: 'a' },
    { insert: 'a', documents: [{}] },
    { listDatabases: 1 },
    { endSessions: [] },
    { serverStatus: 1 },
    { nonsense: 1 },
    { horcruxBackup: 1, path: '/tmp/x' },
  ]
  for (const command of refused) expect((await serverError(db.command(command))).code).toBe(13)
  await client.close()
})

test('a command that does not exist is CommandNotFound, an unknown field is refused', async () => {
  expect(await serverError(lab.db.command({ mapReduce: 'a' }))).toMatchObject({ code: 59, codeName: 'CommandNotFound' })
  expect(await serverError(lab.db.command({ find: 'a', colour: 1 }))).toMatchObject({ code: 40415 })
  expect(await serverError(lab.db.command({ find: 'a', tailable: true }))).toMatchObject({ code: 238 })
  expect(await serverError(lab.db.command({ find: 'a', filter: { $where: 'true' } }))).toMatchObject({ code: 238 })
  expect(await serverError(lab.db.command({ find: 'a', filter: { a: { $foo: 1 } } }))).toMatchObject({ code: 2 })
  expect(
    await serverError(
      lab.db
        .collection('a')
        .find({}, { collation: { locale: 'de' } })
        .toArray(),
    ),
  ).toMatchObject({ code: 238 })
  expect(await serverError(lab.db.command({ getMore: Long.fromNumber(77), collection: 'a' }))).toMatchObject({
    code: 43,
  })
})

test('transactions are refused as by a standalone MongoDB, sessions are accepted', async () => {
  const session = lab.client.startSession()
  const collection = lab.db.collection('sessions')
  await collection.insertOne({ a: 1 }, { session })
  expect(await collection.findOne({ a: 1 }, { session })).toMatchObject({ a: 1 })
  session.startTransaction()
  // the driver has its own words for the server's code 20
  await expect(collection.insertOne({ a: 2 }, { session })).rejects.toThrow(/does not support retryable writes/)
  const raw = {
    insert: 'sessions',
    documents: [{ a: 3 }],
    txnNumber: Long.fromNumber(1),
    startTransaction: true,
    autocommit: false,
  }
  expect((await serverError(lab.db.command(raw))).code).toBe(20)
  await session.endSession()
  expect(await collection.countDocuments()).toBe(1)
})

test('the old handshake by OP_QUERY is answered', async () => {
  const socket = await connect()
  const body = serialize({ isMaster: 1, helloOk: true })
  const name = Buffer.from('admin.$cmd\0')
  const query = Buffer.alloc(16 + 4 + name.length + 8 + body.length)
  query.writeInt32LE(query.length, 0)
  query.writeInt32LE(2004, 12)
  name.copy(query, 20)
  query.set(body, 20 + name.length + 8)
  const { promise, resolve } = Promise.withResolvers<Buffer>()
  socket.once('data', resolve)
  socket.write(query)
  const answer = await promise
  expect(answer.readInt32LE(12)).toBe(1)
  expect(answer.includes('maxWireVersion')).toBe(true)
  socket.destroy()
})

test('a message in pieces and two messages in one piece are answered', async () => {
  const socket = await connect()
  const ping = opMsg({ ping: 1, $db: 'admin' })
  const twoAnswers = Promise.withResolvers<void>()
  let received = Buffer.alloc(0)
  socket.on('data', (chunk) => {
    received = Buffer.concat([received, chunk])
    if (received.length >= 2 * received.readInt32LE(0)) twoAnswers.resolve()
  })
  for (const byte of ping.subarray(0, ping.length - 1)) socket.write(Buffer.from([byte]))
  socket.write(Buffer.concat([ping.subarray(-1), ping]))
  await twoAnswers.promise
  socket.destroy()
})

test('a hostile message ends its connection, and only that', async () => {
  const ping = opMsg({ ping: 1, $db: 'admin' })
  const hostile = [
    Buffer.from('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n'),
    Buffer.alloc(64, 0xff),
    Buffer.from([0xff, 0xff, 0xff, 0x7f, ...Buffer.alloc(20)]),
    opMsg({ ping: 1 }, 1 << 5),
    Buffer.concat([ping.subarray(0, 21), Buffer.from([0xff, 0xff, 0xff, 0x7f]), ping.subarray(25)]),
  ]
  for (const bytes of hostile) {
    const socket = await connect()
    socket.write(bytes)
    await closed(socket)
  }
  expect(await lab.db.command({ ping: 1 })).toMatchObject({ ok: 1 })
})

test('any bytes at all do no harm', async () => {
  const ping = opMsg({ find: 'a', filter: { a: [1, { b: 'c' }] }, $db: 'admin' })
  const mutated = fc
    .tuple(fc.nat(ping.length - 1), fc.nat(255), fc.nat(ping.length - 1), fc.nat(255))
    .map(([at, byte, at2, byte2]) => {
      const copy = Buffer.from(ping)
      copy[at] = byte
      copy[at2] = byte2
      return copy
    })
  const random = fc.uint8Array({ minLength: 16, maxLength: 200 }).map((bytes) => {
    const message = Buffer.from(bytes)
    message.writeInt32LE(message.length, 0)
    message.writeInt32LE(2013, 12)
    return message
  })
  await fc.assert(
    fc.asyncProperty(fc.oneof(mutated, random), async (bytes) => {
      const socket = await connect()
      socket.end(bytes)
      await closed(socket)
    }),
    { numRuns: 300 },
  )
  expect(await lab.db.command({ ping: 1 })).toMatchObject({ ok: 1 })
})

test('an unacknowledged write is done before what follows on its connection', async () => {
  const client = await MongoClient.connect(lab.store.url('test'), { maxPoolSize: 1 })
  const collection = client.db().collection<{ _id: number }>('unacknowledged')
  await collection.insertOne({ _id: 1 }, { writeConcern: { w: 0 } })
  expect(await collection.countDocuments()).toBe(1)
  await client.close()
})

test('it listens on loopback only, and not without a password', async () => {
  const settings = { dataDir: `${lab.dataDir}/other`, user: 'a', password: 'b' }
  await expect(startEmbeddedStore({ ...settings, host: '0.0.0.0' })).rejects.toThrow(/one machine/)
  await expect(startEmbeddedStore({ ...settings, password: '' })).rejects.toThrow(/password/)
})

test('a second store on the same folder is refused and the first goes on', async () => {
  await expect(startEmbeddedStore({ dataDir: lab.dataDir, user: 'a', password: 'b' })).rejects.toThrow(/in use/)
  expect(await lab.db.command({ ping: 1 })).toMatchObject({ ok: 1 })
})

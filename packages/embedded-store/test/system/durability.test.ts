import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { MongoClient } from 'mongodb'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { startEmbeddedStore } from '../../src/server.ts'
import { connectTo, PASSWORD, spawnStore, type StoreProcess, USER } from './process.ts'

let folder: string
let running: StoreProcess | undefined
const clients: MongoClient[] = []

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'horcrux-durable-'))
})
afterEach(async () => {
  for (const client of clients.splice(0)) await client.close(true)
  running?.child.kill('SIGKILL')
  await running?.ended
  running = undefined
  await rm(folder, { recursive: true, force: true })
})

const start = async (): Promise<MongoClient> => {
  running = await spawnStore(folder)
  const client = await connectTo(running)
  clients.push(client)
  return client
}

type Pair = { _id: string; writer: number; n: number; half: 1 | 2 }
type Total = { _id: number; acknowledged: number }

/** Writes pairs in one command each and counts them in another document, until the store is killed. */
const writeUntilKilled = async (
  client: MongoClient,
  writer: number,
  from: number,
  acknowledged: (n: number) => void,
): Promise<void> => {
  const pairs = client.db().collection<Pair>('pairs')
  const totals = client.db().collection<Total>('totals')
  for (let n = from; ; n++) {
    try {
      await pairs.insertMany([
        { _id: `${writer}-${n}-1`, writer, n, half: 1 },
        { _id: `${writer}-${n}-2`, writer, n, half: 2 },
      ])
      await totals.updateOne({ _id: writer }, { $set: { acknowledged: n } }, { upsert: true })
    } catch {
      return
    }
    acknowledged(n)
  }
}

const ROUNDS = 12
const WRITERS = 6

test('kill -9 at any moment: every acknowledged write is there, and no half of one', { timeout: 300_000 }, async () => {
  const acknowledged = Array.from({ length: WRITERS }, () => -1)
  const next = Array.from({ length: WRITERS }, () => 0)
  let killed = 0
  for (let round = 0; round < ROUNDS; round++) {
    const client = await start()
    const pairs = client.db().collection<Pair>('pairs')
    await pairs.createIndex({ writer: 1, n: 1, half: 1 }, { unique: true })
    for (let writer = 0; writer < WRITERS; writer++) {
      const found = await pairs.find({ writer }).sort({ n: 1, half: 1 }).toArray()
      const ns = new Set(found.map(({ n }) => n))
      expect(found.length, 'both halves of each pair').toBe(ns.size * 2)
      const last = acknowledged[writer] as number
      for (let n = 0; n <= last; n++)
        expect(ns.has(n), `writer ${writer}, pair ${n} of ${last}, round ${round}`).toBe(true)
      const total = await client.db().collection<Total>('totals').findOne({ _id: writer })
      expect(total?.acknowledged ?? -1).toBeGreaterThanOrEqual(last)
      const known = Math.max(next[writer] as number, last + 1)
      expect(ns.size - known, 'at most the one write that was under way').toBeLessThanOrEqual(1)
      next[writer] = ns.size
    }
    // the index and the documents agree
    expect(await pairs.countDocuments({}, { hint: 'writer_1_n_1_half_1' })).toBe(
      await pairs.countDocuments({}, { hint: { $natural: 1 } }),
    )
    const enough = Promise.withResolvers<void>()
    const wanted = 5 + Math.floor(Math.random() * 120)
    let writes = 0
    const writers = next.map((from, writer) =>
      writeUntilKilled(client, writer, from, (n) => {
        acknowledged[writer] = n
        if (++writes === wanted) enough.resolve()
      }),
    )
    await enough.promise
    running?.child.kill('SIGKILL')
    killed++
    await running?.ended
    await client.close(true)
    await Promise.all(writers)
  }
  console.log(
    `killed ${killed} times; ${acknowledged.reduce((sum, n) => sum + n + 1, 0)} acknowledged pairs, none lost, none halved`,
  )
})

test('it ends by itself on SIGTERM and when its stdin closes', async () => {
  await start()
  running?.child.kill('SIGTERM')
  expect(await running?.ended).toBe(0)
  const client = await start()
  await client.db().collection('a').insertOne({ a: 1 })
  running?.child.stdin?.end()
  expect(await running?.ended).toBe(0)
})

test('a second process on the same folder is refused clearly, and the folder is free after a kill', async () => {
  await start()
  await expect(spawnStore(folder)).rejects.toThrow(/in use by another embedded store/)
  running?.child.kill('SIGKILL')
  await running?.ended
  const client = await start()
  expect(await client.db().command({ ping: 1 })).toMatchObject({ ok: 1 })
})

test('a copy that is made under load is consistent and can be started from', { timeout: 120_000 }, async () => {
  const client = await start()
  const pairs = client.db().collection<Pair>('pairs')
  await pairs.createIndex({ writer: 1, n: 1 })
  const stop = new AbortController()
  let last = -1
  const writing = (async () => {
    for (let n = 0; !stop.signal.aborted; n++) {
      await pairs.insertMany([
        { _id: `0-${n}-1`, writer: 0, n, half: 1 },
        { _id: `0-${n}-2`, writer: 0, n, half: 2 },
      ])
      last = n
    }
  })()
  while (last < 50) await client.db().command({ ping: 1 })
  const before = last
  const copies = await mkdtemp(join(tmpdir(), 'horcrux-copies-'))
  const copy = join(copies, 'horcrux-store.sqlite')
  await client.db('admin').command({ horcruxBackup: 1, path: copy })
  stop.abort()
  await writing
  await expect(client.db('admin').command({ horcruxBackup: 1, path: 'relative' })).rejects.toMatchObject({ code: 2 })
  await expect(client.db().command({ horcruxBackup: 1, path: copy })).rejects.toMatchObject({ code: 13 })

  const restored = await startEmbeddedStore({ dataDir: copies, user: USER, password: PASSWORD })
  const other = await MongoClient.connect(restored.url('test'))
  const found = await other.db().collection<Pair>('pairs').find().toArray()
  const ns = new Set(found.map(({ n }) => n))
  expect(found.length).toBe(ns.size * 2)
  expect(ns.size).toBeGreaterThan(before)
  expect(await other.db().collection('pairs').indexes()).toHaveLength(2)
  await other.close()
  await restored.stop()
  await rm(copies, { recursive: true, force: true })
})

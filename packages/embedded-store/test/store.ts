import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Db, MongoClient } from 'mongodb'
import { startEmbeddedStore } from '../src/server.ts'

/** The server that `MONGODB_URL` names: then the tests ask it, each in databases of its own, which they drop. */
export const otherServer = process.env['MONGODB_URL'] || undefined

export type TestedStore = { url: (database: string) => string; stop: () => Promise<void> }

/** A store for one test file: the embedded one on a folder of its own, or the server of `MONGODB_URL`. */
export async function startStore(): Promise<TestedStore> {
  if (otherServer) return databasesOf(otherServer)
  const dataDir = await mkdtemp(join(tmpdir(), 'horcrux-store-'))
  const store = await startEmbeddedStore({ dataDir, user: 'horcrux', password: randomBytes(16).toString('hex') })
  const stop = async () => {
    await store.stop()
    await rm(dataDir, { recursive: true, force: true })
  }
  return { url: store.url, stop }
}

/** A user whom the address does not say to be of another database is one of `admin`. */
function databasesOf(server: string): TestedStore {
  const run = `horcrux_test_${randomBytes(6).toString('hex')}`
  const made = new Set<string>()
  const url = (database: string) => {
    const name = `${run}_${database}`
    made.add(name)
    const found = new URL(server)
    found.pathname = `/${name}`
    if (found.username !== '' && !found.searchParams.has('authSource')) found.searchParams.set('authSource', 'admin')
    return found.href
  }
  const stop = async () => {
    const client = await MongoClient.connect(server)
    for (const name of made) await client.db(name).dropDatabase()
    await client.close()
  }
  return { url, stop }
}

/** A store, and the real driver connected to it. */
export type TestStore = {
  client: MongoClient
  db: Db
  /** A connection string for a database of that name. */
  url: (database: string) => string
  stop: () => Promise<void>
}

/** Runs a test that every server of MongoDB's protocol must pass: on the embedded store, or on the one of `MONGODB_URL`. */
export const startTestStore = async (): Promise<TestStore> => {
  const store = await startStore()
  const client = await MongoClient.connect(store.url('test'))
  const stop = async (): Promise<void> => {
    await client.close()
    await store.stop()
  }
  return { client, db: client.db(), url: store.url, stop }
}

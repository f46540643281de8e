import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Db, MongoClient, MongoServerError } from 'mongodb'
import { type EmbeddedStore, startEmbeddedStore } from '#shared/db/embedded/server.ts'

export const USER = 'horcrux'
export const PASSWORD = 'a secret, with: "signs" and ümlauts'

/** A store in this process on a folder of its own, and the real driver connected to it. */
export type TestStore = {
  store: EmbeddedStore
  client: MongoClient
  db: Db
  dataDir: string
  stop: () => Promise<void>
}

export const startTestStore = async (): Promise<TestStore> => {
  const dataDir = await mkdtemp(join(tmpdir(), 'horcrux-embedded-'))
  const store = await startEmbeddedStore({ dataDir, user: USER, password: PASSWORD })
  const client = await MongoClient.connect(store.url('test'))
  const stop = async (): Promise<void> => {
    await client.close()
    await store.stop()
    await rm(dataDir, { recursive: true, force: true })
  }
  return { store, client, db: client.db(), dataDir, stop }
}

/** The error of a command that must fail. */
export const serverError = async (work: Promise<unknown>): Promise<MongoServerError> => {
  const error: unknown = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  if (error instanceof MongoServerError) return error
  throw new Error(`expected an error of the server, got ${String(error)}`, { cause: error })
}

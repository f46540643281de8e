import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { MongoClient, MongoServerError } from 'mongodb'
import { test } from 'vitest'
import { type EmbeddedStore, startEmbeddedStore } from '../src/server.ts'
import { otherServer, type TestStore } from './store.ts'

export { startTestStore, type TestStore } from './store.ts'

export const USER = 'horcrux'
export const PASSWORD = 'a secret, with: "signs" and ümlauts'

/** What only the embedded store says, whatever `MONGODB_URL` is: what it refuses, how it plans. */
export const testEmbedded = test.skipIf(otherServer)

/** The embedded store itself, in this process on a folder of its own, whatever `MONGODB_URL` is. */
export type OwnStore = TestStore & { store: EmbeddedStore; dataDir: string }

export const startOwnStore = async (): Promise<OwnStore> => {
  const dataDir = await mkdtemp(join(tmpdir(), 'horcrux-embedded-'))
  const store = await startEmbeddedStore({ dataDir, user: USER, password: PASSWORD })
  const client = await MongoClient.connect(store.url('test'))
  const stop = async (): Promise<void> => {
    await client.close()
    await store.stop()
    await rm(dataDir, { recursive: true, force: true })
  }
  return { store, client, db: client.db(), url: store.url, dataDir, stop }
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

import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { MongoClient } from 'mongodb'
import { startEmbeddedStore } from '../src/server.ts'
import { dataFile } from '../src/storage/files.ts'
import { PASSWORD, USER } from './lab.ts'

/** A folder of a store that a test damages; `running` is the store on it and a client, while there is one. */
export type Folder = {
  dir: string
  file: string
  start: () => Promise<MongoClient>
  stop: () => Promise<void>
  /** Copies the files as they are, which is what a killed store leaves behind. */
  copy: () => Promise<Folder>
  edit: (name: '' | '-wal' | '-shm', change: (bytes: Buffer) => Buffer | void) => Promise<void>
  sql: (text: string) => void
  remove: () => Promise<void>
}

export const folderAt = (dir: string): Folder => {
  const file = dataFile(dir)
  let store: Awaited<ReturnType<typeof startEmbeddedStore>> | undefined
  let client: MongoClient | undefined
  const stop = async (): Promise<void> => {
    await client?.close()
    await store?.stop()
    client = store = undefined
  }
  return {
    dir,
    file,
    start: async () => {
      store = await startEmbeddedStore({ dataDir: dir, user: USER, password: PASSWORD })
      client = await MongoClient.connect(store.url('test'))
      return client
    },
    stop,
    copy: async () => {
      const other = await mkdtemp(join(tmpdir(), 'horcrux-damage-'))
      await cp(dir, other, { recursive: true })
      return folderAt(other)
    },
    edit: async (name, change) => {
      const bytes = await readFile(`${file}${name}`)
      await writeFile(`${file}${name}`, change(bytes) ?? bytes)
    },
    sql: (text) => {
      const db = new DatabaseSync(file)
      db.exec(text)
      db.close()
    },
    remove: async () => {
      await stop()
      await rm(dir, { recursive: true, force: true })
    },
  }
}

export const newFolder = async (): Promise<Folder> => folderAt(await mkdtemp(join(tmpdir(), 'horcrux-damage-')))

/** Flips one bit of the byte at a place. */
export const flip = (bytes: Buffer, at: number): void => {
  bytes[at] = (bytes[at] as number) ^ 4
}

/** The places of a text in a file. */
export const placesOf = (bytes: Buffer, text: string): number[] => {
  const places: number[] = []
  for (let at = bytes.indexOf(text); at >= 0; at = bytes.indexOf(text, at + 1)) places.push(at)
  return places
}

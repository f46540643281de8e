import { open, rename, rm } from 'node:fs/promises'
import { dirname, isAbsolute } from 'node:path'
import { backup as copyDatabase, DatabaseSync } from 'node:sqlite'
import { badValue } from '../errors.ts'
import { dataFile } from './storage.ts'

/** More pages than a file has: the copy is made in one step, of one moment, and writers do not make it begin anew. */
const ALL_PAGES = 0x7fffffff

const sync = async (path: string): Promise<void> => {
  const handle = await open(path, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/**
 * Writes a consistent copy of the store to a file while it runs. The file appears under its name when it is complete.
 * How it comes back: restore.ts.
 */
export const backupTo = async (dataDir: string, destination: string): Promise<void> => {
  if (!isAbsolute(destination)) throw badValue(`The path of a backup must be absolute: '${destination}'`)
  const partial = `${destination}.partial`
  // a connection of its own: a copy of a large store takes a while and must not hold up the readers
  const source = new DatabaseSync(dataFile(dataDir), { readOnly: true, timeout: 5000 })
  try {
    await rm(partial, { force: true })
    await copyDatabase(source, partial, { rate: ALL_PAGES })
    await sync(partial)
    await rename(partial, destination)
    await sync(dirname(destination))
  } catch (error) {
    await rm(partial, { force: true })
    throw error
  } finally {
    source.close()
  }
}

import { once } from 'node:events'
import { open, rename, rm } from 'node:fs/promises'
import { dirname, isAbsolute } from 'node:path'
import { backup as copyDatabase, DatabaseSync } from 'node:sqlite'
import { Worker } from 'node:worker_threads'
import { badValue, CommandError } from '../errors.ts'
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

/** Verifies a copy in a thread of its own. @returns the problem, or undefined when there is none */
const verified = async (file: string): Promise<unknown> => {
  const worker = new Worker(new URL('./verify.ts', import.meta.url), { workerData: { file } })
  const [problem] = (await once(worker, 'message')) as unknown[]
  await worker.terminate()
  return problem
}

/**
 * Writes a consistent copy of the store to a file while it runs. The file appears under its name when it is complete and
 * verified. @throws CommandError 268 when the store's file is damaged
 */
export const backupTo = async (dataDir: string, destination: string): Promise<void> => {
  if (!isAbsolute(destination)) throw badValue(`The path of a backup must be absolute: '${destination}'`)
  const partial = `${destination}.partial`
  // a connection of its own: a copy of a large store takes a while and must not hold up the readers
  const source = new DatabaseSync(dataFile(dataDir), { readOnly: true, timeout: 5000 })
  try {
    await rm(partial, { force: true })
    await copyDatabase(source, partial, { rate: ALL_PAGES })
    const problem = await verified(partial)
    if (problem !== undefined)
      throw new CommandError(268, `The store's file is damaged, so there is no backup of it: ${problem}`)
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

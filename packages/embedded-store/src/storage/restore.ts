import { closeSync, existsSync, fsyncSync, linkSync, openSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { checkFile } from './file-check.ts'
import { dataFile } from './storage.ts'

/** The copy that the store is to have in the place of its file from its next start on. */
export const stagedFile = (dataDir: string): string => join(dataDir, 'horcrux-store.restore')

const keptFile = (dataDir: string): string =>
  join(dataDir, `horcrux-store-${new Date().toISOString().replaceAll(/[:.]/g, '-')}.sqlite`)

/** Brings what is only in the log into the file. A damaged file keeps its log, under the name that it is given. */
const foldLog = (file: string, kept: string): void => {
  try {
    checkFile(file)
    const old = new DatabaseSync(file, { timeout: 5000 })
    old.exec('PRAGMA wal_checkpoint(TRUNCATE)')
    old.close()
  } catch {
    if (existsSync(`${file}-wal`)) renameSync(`${file}-wal`, `${kept}-wal`)
  }
}

const syncFolder = (folder: string): void => {
  const handle = openSync(folder, 'r')
  fsyncSync(handle)
  closeSync(handle)
}

/**
 * Puts a staged copy in the place of the store's file, which is kept under a name with the date. For the holder of the
 * folder's lock, while nothing has the file open. Whenever it is cut off, doing it again brings it to its end.
 * @returns where the old file is kept now, or null when there was nothing to do or nothing to keep
 */
export const finishRestore = (dataDir: string): string | null => {
  const staged = stagedFile(dataDir)
  if (!existsSync(staged)) return null
  const file = dataFile(dataDir)
  const kept = existsSync(file) ? keptFile(dataDir) : null
  if (kept) {
    foldLog(file, kept)
    linkSync(file, kept)
  }
  for (const suffix of ['-wal', '-shm']) rmSync(`${file}${suffix}`, { force: true })
  renameSync(staged, file)
  syncFolder(dataDir)
  return kept
}

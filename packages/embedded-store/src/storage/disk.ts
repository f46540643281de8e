import { fstatSync } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { DatabaseSync } from 'node:sqlite'

/**
 * Brings commits to the disk without holding up reads: SQLite itself only writes (`synchronous = OFF`), and the fsyncs run
 * in libuv's threads. The caller commits nothing while `flush` runs, and answers its clients afterwards.
 */
export type Disk = {
  /** @throws Error when the disk refuses; the store must then be started anew, as nobody knows what was written */
  flush: () => Promise<void>
  /** For when the database is closed: closing the handles earlier would drop SQLite's locks on the file. */
  close: () => Promise<void>
}

/** The log is copied into the file when it is longer than SQLite's own default of 1,000 pages. */
const CHECKPOINT_BYTES = 4 * 1024 * 1024

/** Copies the log into the file; the log is emptied only when the file is on the disk. */
const checkpoint = async (db: DatabaseSync, main: FileHandle): Promise<void> => {
  db.exec('PRAGMA wal_checkpoint(PASSIVE)')
  await main.datasync()
  // a backup that reads the log is not waited for: the next checkpoint empties it
  db.exec('PRAGMA busy_timeout = 0; PRAGMA wal_checkpoint(TRUNCATE); PRAGMA busy_timeout = 5000')
}

export const openDisk = async (db: DatabaseSync, file: string): Promise<Disk> => {
  // the log is there once something was read
  db.prepare('SELECT count(*) FROM meta').get()
  const [main, log, folder] = [await open(file, 'r'), await open(`${file}-wal`, 'r'), await open(dirname(file), 'r')]
  await folder.sync()
  await folder.close()
  db.exec('PRAGMA synchronous = OFF; PRAGMA wal_autocheckpoint = 0')
  return {
    flush: async () => {
      await log.datasync()
      if (fstatSync(log.fd).size < CHECKPOINT_BYTES) return
      try {
        await checkpoint(db, main)
      } catch (error) {
        // a full disk: the log keeps everything until there is space again
        if (!/full/.test(String(error))) throw error
      }
    },
    close: async () => {
      await main.close()
      await log.close()
    },
  }
}

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { ConflictError } from '#shared/errors.ts'

/**
 * Locks the data folder for this process. SQLite's lock is a kernel lock (fcntl): it ends with the process, so no stale
 * lock remains.
 * @throws ConflictError naming the holder
 */
export function lockDataFolder(dataDir: string): () => void {
  const folder = join(dataDir, 'run')
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const holder = join(folder, 'horcrux.pid')
  const lock = new DatabaseSync(join(folder, 'lock'), { timeout: 0 })
  try {
    lock.exec('BEGIN EXCLUSIVE')
  } catch (error) {
    lock.close()
    if ((error as { errcode?: number }).errcode !== 5) throw error // 5: SQLITE_BUSY
    const pid = readPid(holder)
    throw new ConflictError(
      `Horcrux already runs on ${dataDir}${pid ? ` (process ${pid})` : ''}. Stop it first, or give this one a folder and a port of its own: HORCRUX_DATA=... HORCRUX_PORT=...`,
      { details: { data_dir: dataDir, pid } },
    )
  }
  writeFileSync(holder, `${process.pid}\n`, { mode: 0o600 })
  return () => lock.close()
}

function readPid(file: string): number | undefined {
  try {
    return Number(readFileSync(file, 'utf8')) || undefined
  } catch {
    return undefined
  }
}

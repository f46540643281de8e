import { existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync, type StatementSync } from 'node:sqlite'
import { createFile, upgrade } from './format.ts'

/** The connection to the SQLite file, with its prepared statements. */
export type Storage = { db: DatabaseSync; statement: (sql: string) => StatementSync }

export const dataFile = (dataDir: string): string => join(dataDir, 'horcrux-store.sqlite')

/** Keeps prepared statements: a store has a few per collection and index. */
const MAX_STATEMENTS = 2000

const storageOf = (db: DatabaseSync): Storage => {
  const statements = new Map<string, StatementSync>()
  const statement = (sql: string): StatementSync => {
    const known = statements.get(sql)
    if (known) return known
    if (statements.size >= MAX_STATEMENTS) statements.clear()
    const prepared = db.prepare(sql)
    statements.set(sql, prepared)
    return prepared
  }
  return { db, statement }
}

/** Opens the file, and makes it when it is not there. @throws Error when it is damaged */
export const openStorage = (dataDir: string): Storage => {
  mkdirSync(dataDir, { recursive: true, mode: 0o700 })
  const file = dataFile(dataDir)
  if (!existsSync(file)) createFile(file)
  const db = new DatabaseSync(file, { timeout: 5000 })
  try {
    db.exec(
      'PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -4096; PRAGMA temp_store = MEMORY',
    )
    upgrade(db, file)
  } catch (error) {
    db.close()
    throw error
  }
  return storageOf(db)
}

/**
 * Holds the data folder for this process. The lock is SQLite's own on a file of its own, so the kernel lets go of it when
 * the process ends in any way.
 */
export const lockDataDir = (dataDir: string): (() => void) => {
  mkdirSync(dataDir, { recursive: true, mode: 0o700 })
  const db = new DatabaseSync(join(dataDir, 'horcrux-store.lock'), { timeout: 0 })
  try {
    db.exec('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE')
  } catch (error) {
    db.close()
    throw new Error(`The data folder ${dataDir} is in use by another embedded store; stop that one first`, {
      cause: error,
    })
  }
  return () => db.close()
}

import { existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync, type StatementSync } from 'node:sqlite'
import { CommandError } from '../errors.ts'
import { createFile, upgrade } from './format.ts'

/**
 * One connection to the SQLite file. The writer's thread has one that writes, the server's thread one that reads; in WAL
 * mode a reader sees the last commit and waits neither for the writer nor for its fsync.
 */
export type Storage = { db: DatabaseSync; statement: (sql: string) => StatementSync; writable: boolean }

export const dataFile = (dataDir: string): string => join(dataDir, 'horcrux-store.sqlite')

/** Keeps prepared statements: a store has a few per collection and index. */
const MAX_STATEMENTS = 2000

const storageOf = (db: DatabaseSync, writable: boolean): Storage => {
  const statements = new Map<string, StatementSync>()
  const statement = (sql: string): StatementSync => {
    const known = statements.get(sql)
    if (known) return known
    if (statements.size >= MAX_STATEMENTS) statements.clear()
    const prepared = db.prepare(sql)
    statements.set(sql, prepared)
    return prepared
  }
  return { db, statement, writable }
}

/** Opens the file for the writer and makes it when it is not there. */
export const openWriter = (dataDir: string): Storage => {
  mkdirSync(dataDir, { recursive: true, mode: 0o700 })
  const file = dataFile(dataDir)
  if (!existsSync(file)) createFile(file)
  const db = new DatabaseSync(file, { timeout: 5000 })
  db.exec(
    'PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -16384; PRAGMA temp_store = MEMORY',
  )
  // a checkpoint that found a reader leaves a large file behind: cut it back afterwards
  db.exec('PRAGMA journal_size_limit = 67108864')
  upgrade(db, file)
  return storageOf(db, true)
}

/** Opens the file for reading; the writer has made it. */
export const openReader = (dataDir: string): Storage => {
  const db = new DatabaseSync(dataFile(dataDir), { readOnly: true, timeout: 5000 })
  db.exec('PRAGMA cache_size = -16384; PRAGMA temp_store = MEMORY')
  return storageOf(db, false)
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

/** Runs work in one read transaction: everything it reads is of one moment. */
export const inSnapshot = <T>(storage: Storage, work: () => T): T => {
  if (storage.writable) return work()
  storage.statement('BEGIN').run()
  try {
    return work()
  } finally {
    if (storage.db.isTransaction) storage.statement('COMMIT').run()
  }
}

/** A number of `meta`. */
export const readMeta = (storage: Storage, name: string): number => {
  const row = storage.statement('SELECT value FROM meta WHERE name = ?').get(name)
  if (typeof row?.['value'] !== 'number') throw new CommandError(1, `The store's file has no ${name}`)
  return row['value']
}

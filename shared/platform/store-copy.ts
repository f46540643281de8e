import { existsSync } from 'node:fs'
import { chmod, link, open, rm } from 'node:fs/promises'
import { DatabaseSync } from 'node:sqlite'
import { BadRequestError, ConflictError, NotFoundError } from '#shared/errors.ts'
import { FORMAT } from '@horcrux/embedded-store/files'

/**
 * A copy that stands alone is one SQLite file: the store's own, and in a table of its own what else it takes to use it,
 * as names and texts.
 */
const table = 'horcrux_copy'

export type Extras = Record<string, string>

async function syncFile(path: string): Promise<void> {
  const handle = await open(path, 'r')
  await handle.sync().finally(() => handle.close())
}

/** Writes the extras into a copy that the store has made, and gives it its name. @throws ConflictError when that is taken */
export async function completeCopy(copy: string, extras: Extras, destination: string): Promise<void> {
  await chmod(copy, 0o600)
  const db = new DatabaseSync(copy)
  try {
    db.exec(`PRAGMA journal_mode = DELETE; CREATE TABLE ${table} (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT`)
    const insert = db.prepare(`INSERT INTO ${table} VALUES (?, ?)`)
    for (const [name, value] of Object.entries(extras)) insert.run(name, value)
  } finally {
    db.close()
  }
  await syncFile(copy)
  try {
    await link(copy, destination)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') throw alreadyThere(destination)
    throw error
  }
  await rm(copy)
}

export function alreadyThere(path: string) {
  return new ConflictError(`${path} exists already; a copy is never written over anything`, { details: { path } })
}

/** What a copy holds beside the store. @throws BadRequestError saying why a file is no whole copy; NotFoundError */
export function readCopy(path: string): Extras {
  if (!existsSync(path)) throw new NotFoundError(`There is no file ${path}`, { details: { path } })
  try {
    const db = new DatabaseSync(path, { readOnly: true })
    try {
      const [{ integrity_check: verdict } = {}] = db.prepare('PRAGMA integrity_check(1)').all()
      if (verdict !== 'ok') throw new Error(String(verdict))
      const { value } = db.prepare("SELECT value FROM meta WHERE name = 'format'").get() ?? {}
      if (value !== FORMAT) throw new Error(`it has format ${String(value)}, and this version reads format ${FORMAT}`)
      const rows = db.prepare(`SELECT name, value FROM ${table}`).all() as { name: string; value: string }[]
      return Object.fromEntries(rows.map((row) => [row.name, row.value]))
    } finally {
      db.close()
    }
  } catch (error) {
    throw new BadRequestError(`${path} is not a whole copy of Horcrux's configuration: ${(error as Error).message}`, {
      cause: error,
    })
  }
}

/** Takes the extras out of a copy, so that it is a store's file again. */
export function stripCopy(path: string): void {
  const db = new DatabaseSync(path)
  db.exec(`DROP TABLE ${table}`)
  db.close()
}

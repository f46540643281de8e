import { existsSync } from 'node:fs'
import { chmod, link, open, rm } from 'node:fs/promises'
import { DatabaseSync } from 'node:sqlite'
import { BadRequestError, ConflictError, NotFoundError } from '#shared/errors.ts'
import { FORMAT, isReadable } from '@horcrux/embedded-store/files'

/** Table with the secrets, as names and texts. A copy is one SQLite file: the store's own with this table added. */
const table = 'horcrux_copy'

export type Extras = Record<string, string>

async function syncFile(path: string): Promise<void> {
  const handle = await open(path, 'r')
  await handle.sync().finally(() => handle.close())
}

/**
 * Writes the extras into a copy made by the store, and renames it to its destination.
 * @throws ConflictError if the destination exists
 */
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
  return new ConflictError(`${path} exists already; a copy never overwrites a file`, { details: { path } })
}

/**
 * Reads the extras of a copy.
 * @throws BadRequestError with the reason if the file is no complete copy; NotFoundError
 */
export function readCopy(path: string): Extras {
  if (!existsSync(path)) throw new NotFoundError(`There is no file ${path}`, { details: { path } })
  try {
    const db = new DatabaseSync(path, { readOnly: true })
    try {
      const [{ integrity_check: verdict } = {}] = db.prepare('PRAGMA integrity_check(1)').all()
      if (verdict !== 'ok') throw new Error(String(verdict))
      const { value } = db.prepare("SELECT value FROM meta WHERE name = 'format'").get() ?? {}
      if (!isReadable(value))
        throw new Error(`it has format ${String(value)}, and this version reads formats up to ${FORMAT}`)
      const rows = db.prepare(`SELECT name, value FROM ${table}`).all() as { name: string; value: string }[]
      return Object.fromEntries(rows.map((row) => [row.name, row.value]))
    } finally {
      db.close()
    }
  } catch (error) {
    throw new BadRequestError(
      `${path} is not a complete copy of Horcrux's configuration: ${(error as Error).message}`,
      {
        cause: error,
      },
    )
  }
}

/** Removes the extras from a copy, so that it is a plain store file again. */
export function stripCopy(path: string): void {
  const db = new DatabaseSync(path)
  db.exec(`DROP TABLE ${table}`)
  db.close()
}

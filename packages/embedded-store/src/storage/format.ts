import { closeSync, fsyncSync, openSync, renameSync, rmSync } from 'node:fs'
import { dirname } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { catalogChecksum, rowChecksum } from './checksum.ts'

/** Version of the file's tables; raised when an older version of the store could not read it. 2 added checksums. */
export const FORMAT = 2
const OLDEST_FORMAT = 1

const SCHEMA = `
  CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;
  CREATE TABLE collections (
    id INTEGER PRIMARY KEY AUTOINCREMENT, db TEXT NOT NULL, name TEXT NOT NULL, uuid TEXT NOT NULL,
    crc INTEGER NOT NULL DEFAULT 0, UNIQUE (db, name)
  ) STRICT;
  CREATE TABLE indexes (
    id INTEGER PRIMARY KEY AUTOINCREMENT, collection INTEGER NOT NULL, spec BLOB NOT NULL, multikey INTEGER NOT NULL,
    crc INTEGER NOT NULL DEFAULT 0
  ) STRICT;
  INSERT INTO meta VALUES ('format', ${FORMAT}), ('catalog', 1);
`

const sync = (path: string): void => {
  const handle = openSync(path, 'r')
  fsyncSync(handle)
  closeSync(handle)
}

/** Makes an empty store under another name and renames it, so that a crash leaves no file that is half made. */
export const createFile = (file: string): void => {
  const partial = `${file}.new`
  for (const suffix of ['', '-wal', '-shm']) rmSync(`${partial}${suffix}`, { force: true })
  const db = new DatabaseSync(partial)
  db.exec(`PRAGMA journal_mode = WAL; BEGIN; ${SCHEMA} COMMIT`)
  db.close()
  sync(partial)
  renameSync(partial, file)
  sync(dirname(file))
}

const formatOf = (db: DatabaseSync): unknown =>
  db.prepare("SELECT value FROM meta WHERE name = 'format'").get()?.['value']

/** Checks that this version of the store can read a file of that format. */
export const isReadable = (format: unknown): boolean =>
  typeof format === 'number' && format >= OLDEST_FORMAT && format <= FORMAT

const idsOf = (db: DatabaseSync, table: string): number[] =>
  db
    .prepare(`SELECT id FROM ${table}`)
    .all()
    .map(({ id }) => Number(id))

/** Gives each row of a file of format 1 its checksum, in one transaction. */
const addChecksums = (db: DatabaseSync): void => {
  db.function('row_checksum', (bytes, rid) => rowChecksum(bytes as Uint8Array, Number(rid)))
  db.function('collection_checksum', (id, base, name, uuid) =>
    catalogChecksum([Number(id), String(base), String(name), String(uuid)]),
  )
  db.function('index_checksum', (id, collection, multikey, spec) =>
    catalogChecksum([Number(id), Number(collection), Number(multikey)], spec as Uint8Array),
  )
  const column = 'ADD COLUMN crc INTEGER NOT NULL DEFAULT 0'
  db.exec(`BEGIN IMMEDIATE;
    ALTER TABLE collections ${column};
    UPDATE collections SET crc = collection_checksum(id, db, name, uuid);
    ALTER TABLE indexes ${column};
    UPDATE indexes SET crc = index_checksum(id, collection, multikey, spec)`)
  for (const id of idsOf(db, 'collections'))
    db.exec(`ALTER TABLE c${id} ${column}; UPDATE c${id} SET crc = row_checksum(doc, rid)`)
  for (const id of idsOf(db, 'indexes'))
    db.exec(`ALTER TABLE i${id} ${column}; UPDATE i${id} SET crc = row_checksum(key, rid)`)
  db.exec(`UPDATE meta SET value = ${FORMAT} WHERE name = 'format'; COMMIT`)
}

/** Brings a file to this version's format. @throws Error for a file that is damaged or of a newer version */
export const upgrade = (db: DatabaseSync, file: string): void => {
  const verdict = db.prepare('PRAGMA quick_check(1)').get()?.['quick_check']
  if (verdict !== 'ok') throw new Error(`${file} is damaged: ${String(verdict)}. Put a backup in its place.`)
  const format = formatOf(db)
  if (!isReadable(format))
    throw new Error(`${file} has format ${String(format)}; this version of the store reads formats up to ${FORMAT}`)
  if (format === OLDEST_FORMAT) addChecksums(db)
}

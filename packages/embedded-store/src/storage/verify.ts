import { DatabaseSync } from 'node:sqlite'
import { pathToFileURL } from 'node:url'
import { parentPort, workerData } from 'node:worker_threads'
import { catalogChecksum, rowChecksum } from './checksum.ts'

/*
 * Thread that verifies a copy of the store: SQLite's own structures, every checksum, and that documents and the entries
 * of the _id index are as many. Posts the problem, or undefined when there is none.
 */
type Row = (string | number | Uint8Array)[]

const rows = (db: DatabaseSync, sql: string): Iterable<Row> => {
  const statement = db.prepare(sql)
  statement.setReturnArrays(true)
  return statement.iterate() as Iterable<unknown> as Iterable<Row>
}

const wrongRows = (db: DatabaseSync, table: string, column: string): number => {
  let wrong = 0
  for (const [rid, bytes, crc] of rows(db, `SELECT rid, ${column}, crc FROM ${table}`))
    if (rowChecksum(bytes as Uint8Array, rid as number) !== crc) wrong++
  return wrong
}

const numberOf = (db: DatabaseSync, sql: string): number => Number(db.prepare(sql).get()?.['n'])

const problemOfIndex = (db: DatabaseSync, collection: number, id: number, isFirst: boolean): string | undefined => {
  const wrong = wrongRows(db, `i${id}`, 'key')
  if (wrong > 0) return `${wrong} entries of index ${id} have a wrong checksum`
  const join = `FROM i${id} AS i LEFT JOIN c${collection} AS c ON c.rid = i.rid WHERE c.rid IS NULL`
  if (numberOf(db, `SELECT count(*) AS n ${join}`) > 0) return `index ${id} names documents that are missing`
  const isWhole = (): boolean =>
    numberOf(db, `SELECT count(*) AS n FROM i${id}`) === numberOf(db, `SELECT count(*) AS n FROM c${collection}`)
  return isFirst && !isWhole() ? `index ${id} has not as many entries as there are documents` : undefined
}

const problemOfCollection = (db: DatabaseSync, id: number, name: string): string | undefined => {
  const wrong = wrongRows(db, `c${id}`, 'doc')
  if (wrong > 0) return `${wrong} documents of ${name} have a wrong checksum`
  const indexes = [
    ...rows(db, `SELECT id, collection, multikey, spec, crc FROM indexes WHERE collection = ${id} ORDER BY id`),
  ]
  for (const [place, [index, collection, multikey, spec, crc]] of indexes.entries()) {
    const numbers = [index, collection, multikey] as number[]
    if (catalogChecksum(numbers, spec as Uint8Array) !== crc) return `the catalog entry of index ${index} is damaged`
    const problem = problemOfIndex(db, id, Number(index), place === 0)
    if (problem !== undefined) return problem
  }
  return undefined
}

const problemOf = (file: string): string | undefined => {
  // immutable: no log belongs to a copy, and none is made
  const db = new DatabaseSync(new URL(`${pathToFileURL(file).href}?immutable=1`), { readOnly: true })
  try {
    const verdict = db.prepare('PRAGMA quick_check(1)').get()?.['quick_check']
    if (verdict !== 'ok') return String(verdict)
    for (const [id, name, base, uuid, crc] of rows(db, 'SELECT id, name, db, uuid, crc FROM collections')) {
      const namespace = `${base}.${name}`
      if (catalogChecksum([id, base, name, uuid] as string[]) !== crc) return `the entry of ${namespace} is damaged`
      const problem = problemOfCollection(db, Number(id), namespace)
      if (problem !== undefined) return problem
    }
    return undefined
  } catch (error) {
    return (error as Error).message
  } finally {
    db.close()
  }
}

// oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has no origin
parentPort?.postMessage(problemOf((workerData as { file: string }).file))

import { existsSync } from 'node:fs'
import { readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import type { Document, MongoClient } from 'mongodb'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { checkedDocument } from '../src/storage/checksum.ts'
import { decode } from '../src/values/bson.ts'
import { flip, type Folder, newFolder, placesOf } from './damage-lab.ts'
import { serverError } from './lab.ts'

let folder: Folder
beforeEach(async () => {
  folder = await newFolder()
})
afterEach(() => folder.remove())

type Thing = Document & { _id: number }
const things = (client: MongoClient) => client.db().collection<Thing>('things')
const backup = (client: MongoClient) =>
  client.db('admin').command({ horcruxBackup: 1, path: join(folder.dir, 'copy.sqlite') })

/** Three documents, of which the second one has the text that is damaged. */
const fill = async (): Promise<void> => {
  const client = await folder.start()
  await things(client).createIndex({ text: 1 })
  await things(client).insertMany(['first', 'needle', 'third'].map((text, _id) => ({ _id, text, rest: `of ${_id}` })))
  await folder.stop()
}

const CORRUPT = { code: 301, codeName: 'DataCorruptionDetected' }

test('a flipped bit in a document is an error for whoever reads it, and never data', async () => {
  await fill()
  await folder.edit('', (bytes) => flip(bytes, placesOf(bytes, 'of 1')[0]! + 3))
  const client = await folder.start()
  const error = await serverError(things(client).findOne({ _id: 1 }))
  expect(error).toMatchObject(CORRUPT)
  expect(error.message).toMatch(/Document 2 of test\.things .*restore a backup/)
  const readings: (() => Promise<unknown>)[] = [
    () => things(client).find().toArray(),
    () => things(client).find({ text: 'needle' }).toArray(),
    () => things(client).find().sort({ rest: 1 }).toArray(),
    () => things(client).countDocuments({ rest: /x/ }),
    () => things(client).distinct('rest'),
    () => things(client).createIndex({ rest: 1 }),
    () => things(client).findOneAndDelete({ _id: 1 }),
    () =>
      client
        .db()
        .command({ update: 'things', updates: [{ q: { _id: 1 }, u: { $set: { a: 1 } } }] })
        .then((answer) => {
          throw Object.assign(new Error('write error'), (answer['writeErrors'] as Document[])[0])
        }),
  ]
  for (const read of readings) await expect(read()).rejects.toMatchObject({ code: 301 })
  expect(await things(client).findOne({ _id: 0 })).toMatchObject({ text: 'first' })
  expect(await things(client).findOne({ text: 'third' })).toMatchObject({ _id: 2 })
})

test('no bit of a document can be flipped unnoticed', async () => {
  await fill()
  const file = await readFile(folder.file)
  const start = placesOf(file, 'of 1')[0]! - 50
  const texts = (): unknown[] => {
    const db = new DatabaseSync(folder.file, { readOnly: true })
    try {
      const rows = db.prepare('SELECT rid, doc, crc FROM c1').all()
      return rows.map(({ rid, doc, crc }) => decode(checkedDocument('test.things', Number(rid), doc, crc))['text'])
    } finally {
      db.close()
    }
  }
  const whole = ['first', 'needle', 'third']
  expect(texts()).toEqual(whole)
  let noticed = 0
  for (let at = start; at < start + 60; at++)
    for (const bit of [1, 2, 16, 128]) {
      const changed = Buffer.from(file)
      changed[at]! ^= bit
      await writeFile(folder.file, changed)
      // an error is what is wanted; no error is right only where the flipped bit is of no document
      const found = await Promise.resolve()
        .then(texts)
        .catch(() => undefined)
      if (found) expect(found, `${at}, ${bit}`).toEqual(whole)
      else noticed++
    }
  expect(noticed).toBeGreaterThan(150)
})

test('a flipped bit in an index entry, and an entry without its document, are errors too', async () => {
  await fill()
  const other = await folder.copy()
  await folder.edit('', (bytes) => {
    // the document has the length of its text before it, the key the byte of its type
    const key = placesOf(bytes, 'needle').find((at) => bytes[at - 1] === 0x1e)!
    flip(bytes, key + 5)
  })
  const client = await folder.start()
  expect(await serverError(things(client).find({ text: /^ne/ }).toArray())).toMatchObject(CORRUPT)
  expect(await things(client).findOne({ _id: 1 })).toMatchObject({ text: 'needle' })
  expect(await serverError(backup(client))).toMatchObject({ code: 268, codeName: 'CannotBackup' })

  other.sql('DELETE FROM c1 WHERE rid = 2')
  const second = await other.start()
  const error = await serverError(things(second).find({ text: 'needle' }).toArray())
  expect(error).toMatchObject(CORRUPT)
  expect(error.message).toMatch(/names document 2, which is missing/)
  await other.remove()
})

test('a damaged catalog is an error, not a collection that has gone', async () => {
  await fill()
  folder.sql("UPDATE collections SET name = 'thinks'")
  await expect(folder.start()).rejects.toThrow(/catalog entry of test.thinks is damaged/)
})

test('a damaged store has no backup, and says why', async () => {
  await fill()
  const whole = await folder.copy()
  await folder.edit('', (bytes) => flip(bytes, placesOf(bytes, 'of 1')[0]!))
  const client = await folder.start()
  const error = await serverError(backup(client))
  expect(error).toMatchObject({ code: 268, codeName: 'CannotBackup' })
  expect(error.message).toMatch(/damaged.*1 documents of test\.things have a wrong checksum/)
  expect(existsSync(join(folder.dir, 'copy.sqlite'))).toBe(false)
  expect(existsSync(join(folder.dir, 'copy.sqlite.partial'))).toBe(false)

  const path = join(folder.dir, 'copy.sqlite')
  await (await whole.start()).db('admin').command({ horcruxBackup: 1, path })
  expect(existsSync(path)).toBe(true)
  await whole.remove()
})

test('a file that is empty, shortened, missing beside its log, or no database is refused', async () => {
  await fill()
  const refused = async (change: (copy: Folder) => Promise<void>, message: RegExp): Promise<void> => {
    const copy = await folder.copy()
    await change(copy)
    await expect(copy.start()).rejects.toThrow(message)
    await expect(copy.start(), 'again').rejects.toThrow(message)
    await copy.remove()
  }
  await refused((copy) => copy.edit('', () => Buffer.alloc(0)), /is empty.*Put a backup in its place/)
  await refused((copy) => copy.edit('', (bytes) => bytes.subarray(0, -4096)), /shortened: it should have \d+ pages/)
  await refused((copy) => copy.edit('', (bytes) => bytes.subarray(0, 50)), /Put a backup/)
  await refused((copy) => copy.edit('', (bytes) => void bytes.fill(0, 0, 16)), /not a SQLite database/)
  await refused((copy) => copy.edit('', (bytes) => void bytes.fill(0x55, 4096, 8192)), /damaged/)
  await refused(async (copy) => {
    await rename(copy.file, `${copy.file}-wal`)
  }, /is missing, but its log .* is there/)
})

test('a store of format 1 gets its checksums at the next start and loses nothing', async () => {
  await fill()
  const before = await (async () => {
    const client = await folder.start()
    await things(client).createIndex({ tags: 1, _id: -1 }, { sparse: true })
    await things(client).updateMany({}, { $set: { tags: ['a', 'b'] } })
    const all = await things(client).find().toArray()
    await folder.stop()
    return all
  })()
  folder.sql(
    `${['collections', 'indexes', 'c1', 'i1', 'i2', 'i3'].map((table) => `ALTER TABLE ${table} DROP COLUMN crc;`).join('')}
     UPDATE meta SET value = 1 WHERE name = 'format'`,
  )
  const client = await folder.start()
  expect(await things(client).find().toArray()).toEqual(before)
  expect(await things(client).find({ tags: 'b' }).hint({ tags: 1, _id: -1 }).toArray()).toHaveLength(3)
  await things(client).insertOne({ _id: 9, text: 'later' })
  expect(await backup(client)).toMatchObject({ ok: 1 })
  await folder.stop()
  await folder.edit('', (bytes) => flip(bytes, placesOf(bytes, 'of 1')[0]!))
  const again = await folder.start()
  expect(await serverError(things(again).findOne({ _id: 1 }))).toMatchObject(CORRUPT)
})

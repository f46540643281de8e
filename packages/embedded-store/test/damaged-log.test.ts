import { existsSync } from 'node:fs'
import { readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Document, MongoClient } from 'mongodb'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { flip, type Folder, newFolder } from './damage-lab.ts'

const HEADER = 32
const FRAME = 24 + 4096
const WRITES = 40

type Thing = Document & { _id: number }
const things = (client: MongoClient) => client.db().collection<Thing>('things')
const idsIn = async (client: MongoClient) =>
  (await things(client).find().sort({ _id: 1 }).toArray()).map(({ _id }) => _id)
const ids = (count: number) => Array.from({ length: count }, (_, _id) => _id)

/** The files as a kill leaves them: acknowledged writes are in the log only. */
let killed: Folder
let original: Folder
beforeEach(async () => {
  original = await newFolder()
  const client = await original.start()
  for (const _id of ids(WRITES)) await things(client).insertOne({ _id })
  killed = await original.copy()
})
afterEach(async () => {
  await original.remove()
  await killed.remove()
})

const withoutSharedMemory = () => rm(`${killed.file}-shm`, { force: true })
const frames = (log: Buffer) => Math.floor((log.length - HEADER) / FRAME)

test('a whole log loses nothing, with the shared memory file or without it', async () => {
  expect(await idsIn(await killed.start())).toEqual(ids(WRITES))
  await killed.stop()
  const other = await original.copy()
  await rm(`${other.file}-shm`, { force: true })
  expect(await idsIn(await other.start())).toEqual(ids(WRITES))
  await other.remove()
})

test.for(['with', 'without'])('a byte changed within the log is refused, %s the shared memory file', async (kind) => {
  if (kind === 'without') await withoutSharedMemory()
  await killed.edit('-wal', (log) => flip(log, HEADER + Math.floor(frames(log) / 2) * FRAME + 600))
  await expect(killed.start()).rejects.toThrow(/log .*-wal is damaged: frame \d+ .*create the file .*accept-loss/)
  await expect(killed.start(), 'again').rejects.toThrow(/is damaged/)
})

test('a changed byte in the last transaction is refused, as the shared memory file tells of it', async () => {
  await killed.edit('-wal', (log) => flip(log, HEADER + (frames(log) - 1) * FRAME + 600))
  await expect(killed.start()).rejects.toThrow(/is damaged: frame \d+/)
})

test('a changed byte in the header of the log or of a frame is refused', async () => {
  const other = await killed.copy()
  await killed.edit('-wal', (log) => flip(log, 20))
  await expect(killed.start()).rejects.toThrow(/its header is damaged/)
  await other.edit('-wal', (log) => flip(log, HEADER + 3 * FRAME + 9))
  await expect(other.start()).rejects.toThrow(/is damaged: frame/)
  await other.remove()
})

test('told to accept the loss, the store starts with the writes before the damage and keeps the log', async () => {
  await killed.edit('-wal', (log) => flip(log, HEADER + Math.floor(frames(log) / 2) * FRAME + 600))
  await writeFile(join(killed.dir, 'accept-loss'), '')
  const found = await idsIn(await killed.start())
  expect(existsSync(join(killed.dir, 'accept-loss'))).toBe(false)
  expect(found.length).toBeGreaterThan(5)
  expect(found.length).toBeLessThan(WRITES)
  expect(found).toEqual(ids(found.length))
  expect((await readdir(killed.dir)).filter((name) => name.includes('-wal-damaged-'))).toHaveLength(1)
})

test('an end that was cut off before it was acknowledged is no damage', async () => {
  await withoutSharedMemory()
  const cut = await killed.copy()
  const torn = await killed.copy()
  await killed.edit('-wal', (log) => log.subarray(0, -2000))
  expect(await idsIn(await killed.start())).toEqual(ids(WRITES - 1))
  await cut.edit('-wal', (log) => log.subarray(0, HEADER + 10))
  await cut.start()
  await cut.remove()
  // after a power loss, pages of the last transaction may have come to the disk in any order
  await torn.edit(
    '-wal',
    (log) => void log.fill(0x77, HEADER + (frames(log) - 1) * FRAME + 500, HEADER + (frames(log) - 1) * FRAME + 1000),
  )
  expect(await idsIn(await torn.start())).toEqual(ids(WRITES - 1))
  await torn.remove()
})

test('frames of an older log that follow the newest one are no damage', async () => {
  await original.stop()
  const running = await original.start()
  const text = 'x'.repeat(3000)
  // enough pages for checkpoints, after which the log is written again from its beginning
  for (let from = 1000; from < 4000; from += 250)
    await things(running).insertMany(Array.from({ length: 250 }, (_, i) => ({ _id: from + i, text })))
  await things(running).insertOne({ _id: 9999 })
  const copy = await original.copy()
  await rm(`${copy.file}-shm`, { force: true })
  expect((await idsIn(await copy.start())).length).toBe(WRITES + 3000 + 1)
  await copy.remove()
})

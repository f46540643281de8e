import { execFileSync } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { MongoClient } from 'mongodb'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { connectTo, spawnStore, type StoreProcess } from './process.ts'

const BYTES = 24 * 1024 * 1024

let folder: string
let mounted = false
let running: StoreProcess
let client: MongoClient

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'horcrux-full-'))
  try {
    execFileSync('/bin/mount', ['-t', 'tmpfs', '-o', `size=${BYTES}`, 'tmpfs', folder], { stdio: 'pipe' })
    mounted = true
  } catch (error) {
    const problem = `a tmpfs cannot be mounted: ${(error as Error).message}`
    if (process.env['REQUIRED']?.split(',').includes('tmpfs')) throw new Error(problem, { cause: error })
    console.warn(`SKIPPED: ${problem} (REQUIRED=tmpfs makes it a failure)`)
  }
})

afterAll(async () => {
  await client?.close(true)
  running?.child.kill('SIGTERM')
  await running?.ended
  if (mounted) execFileSync('/bin/umount', [folder])
  await rm(folder, { recursive: true, force: true })
})

test(
  'a full disk is an error to the writer only; reads go on, and writes too when there is space again',
  { timeout: 120_000 },
  async ({ skip }) => {
    if (!mounted) skip()
    running = await spawnStore(join(folder, 'store'))
    client = await connectTo(running)
    const things = client.db().collection<{ _id: number; text: string }>('things')
    await things.createIndex({ text: 1 })
    // what takes the space is not the store's, so that its own file can be written again at the same size
    const ballast = join(folder, 'ballast')
    await writeFile(ballast, Buffer.alloc(BYTES / 2, 1))

    let stored = 0
    let refused: unknown
    while (refused === undefined) {
      try {
        await things.insertOne({ _id: stored, text: `${stored}`.repeat(10_000) })
        stored++
      } catch (error) {
        refused = error
      }
    }
    expect(refused).toMatchObject({ code: 14031, codeName: 'OutOfDiskSpace' })
    expect(stored).toBeGreaterThan(3)

    const several = await Promise.allSettled(
      Array.from({ length: 8 }, (_, i) => things.insertOne({ _id: 1e6 + i, text: 'x'.repeat(900_000) })),
    )
    const written = several.filter(({ status }) => status === 'fulfilled').length
    expect(
      several.some((outcome) => outcome.status === 'rejected' && (outcome.reason as { code?: number }).code === 14031),
    ).toBe(true)

    expect(await things.countDocuments()).toBe(stored + written)
    expect(await things.findOne({ _id: stored - 1 })).toMatchObject({ _id: stored - 1 })
    expect(await things.countDocuments({ text: /^1/ })).toBeGreaterThan(0)

    await rm(ballast)
    await things.insertOne({ _id: -1, text: 'space again' })
    expect(await things.countDocuments()).toBe(stored + written + 1)

    running.child.kill('SIGKILL')
    await running.ended
    await client.close(true)
    running = await spawnStore(join(folder, 'store'))
    client = await connectTo(running)
    expect(await client.db().collection('things').countDocuments()).toBe(stored + written + 1)
    expect(
      await client
        .db()
        .collection('things')
        .countDocuments({}, { hint: { $natural: 1 } }),
    ).toBe(stored + written + 1)
  },
)

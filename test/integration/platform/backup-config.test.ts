import { copyFile, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import mongoose from 'mongoose'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { keepSecrets, makeDataFolder, writeEndpoints } from '#shared/platform/data-folder.ts'
import { startEmbeddedBus } from '#shared/platform/embedded-bus.ts'
import { startEmbeddedStore } from '#shared/platform/embedded-store.ts'
import { missingForNats } from '../../lab/bus/nats.ts'
import { repository } from '../../lab/repository.ts'
import { available } from '../../lab/requirements.ts'

const hasNats = available('nats', await missingForNats())
const host = localHost()
let dir: string
let dataDir: string
let undo: (() => Promise<unknown>)[]

const program = join(repository, 'bin/horcrux.ts')
const horcrux = (words: string[], env: Record<string, string> = {}, cwd = process.cwd()) =>
  host.run(process.execPath, [program, 'backup-config', ...words], { env: { HORCRUX_DATA: dataDir, ...env }, cwd })

/** The ground of a Horcrux that runs on the data folder, as `npm start` lays it. @returns the store's address */
async function start(): Promise<string> {
  await makeDataFolder(host, dataDir)
  const secrets = await keepSecrets(host, dataDir)
  const bus = await startEmbeddedBus(host, dataDir)
  const store = await startEmbeddedStore(host, dataDir, secrets.mongodb_password)
  await writeEndpoints(host, dataDir, { nats_url: bus.url, mongodb_url: store.url })
  undo.push(bus.stop, store.stop, () => writeEndpoints(host, dataDir, null))
  return store.url
}
const stop = async () => {
  for (const step of undo.splice(0).toReversed()) await step()
}

type Named = { _id: string; state?: string }
async function inStore<T>(url: string, work: (db: mongoose.mongo.Db) => Promise<T>): Promise<T> {
  const client = new mongoose.mongo.MongoClient(url)
  try {
    return await work(client.db())
  } finally {
    await client.close()
  }
}
const put = (url: string, ...ids: string[]) =>
  inStore(url, (db) => db.collection<Named>('vms').insertMany(ids.map((_id) => ({ _id }))))
const names = (url: string) =>
  inStore(url, async (db) => (await db.collection<Named>('vms').find().toArray()).map(({ _id }) => _id))

describe.skipIf(!hasNats)('horcrux backup-config', () => {
  beforeEach(async () => {
    undo = []
    dir = await mkdtemp(join(tmpdir(), 'horcrux-copy-'))
    dataDir = join(dir, 'data')
  })
  afterEach(async () => {
    await stop()
    await rm(dir, { recursive: true, force: true })
  })

  test('a backup written and restored while Horcrux runs brings back the old state, and keeps the replaced one aside', async () => {
    const url = await start()
    await put(url, 'a', 'b')
    await inStore(url, (db) => db.collection<Named>('operations').insertOne({ _id: 'op', state: 'running' }))
    const file = join(dir, 'copy')
    expect(await horcrux(['write', file])).toMatchObject({ code: 0, stderr: '' })
    expect((await stat(file)).mode & 0o777).toBe(0o600)
    expect(await readdir(dir)).toEqual(['copy', 'data'])
    await put(url, 'late')
    const restored = await horcrux(['restore', file])
    expect(restored).toMatchObject({ code: 0, stderr: '' })
    expect(restored.stdout).toContain('1 operation(s)')
    expect(await names(url)).toEqual(['a', 'b'])
    const [operation] = await inStore(url, (db) => db.collection<Named>('operations').find().toArray())
    expect(operation).toMatchObject({ state: 'needs_attention', lease: null })
    // What was there before is a whole store of its own.
    const kept = /kept: (.*)/.exec(restored.stdout)![1]!
    await stop()
    await copyFile(kept, join(dataDir, 'store/horcrux-store.sqlite'))
    expect(await names(await start())).toEqual(['a', 'b', 'late'])
  })

  test('another machine gets everything from the copy alone, secrets too', async () => {
    await put(await start(), 'a')
    const file = join(dir, 'copy')
    await horcrux(['write', file])
    const secretsOf = async () =>
      JSON.parse(await readFile(join(dataDir, 'secrets/secrets.json'), 'utf8')) as Record<string, string>
    const first = await secretsOf()
    await stop()
    dataDir = join(dir, 'other')
    expect(await horcrux(['restore', file])).toMatchObject({ code: 0, stderr: '' })
    expect(await names(await start())).toEqual(['a'])
    const second = await secretsOf()
    expect([second['jwt_secret'], second['secret_key']]).toEqual([first['jwt_secret'], first['secret_key']])
  })

  test('an impossible backup or restore is refused with the reason, and changes nothing', async () => {
    const file = join(dir, 'copy')
    expect(await horcrux(['write', file])).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('does not run on'),
    })
    const url = await start()
    await put(url, 'a')
    expect(await horcrux(['write', file])).toMatchObject({ code: 0 })
    expect(await horcrux(['write', file])).toMatchObject({ code: 1, stderr: expect.stringContaining('exists already') })
    expect(await horcrux(['restore', join(dir, 'none')])).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('no file'),
    })
    const bytes = await readFile(file)
    const damaged = join(dir, 'damaged')
    await writeFile(damaged, bytes.subarray(0, bytes.length / 2))
    const refused = { code: 1, stderr: expect.stringContaining('not a complete copy') }
    expect(await horcrux(['restore', damaged])).toMatchObject(refused)
    await writeFile(damaged, 'nonsense')
    expect(await horcrux(['restore', damaged])).toMatchObject(refused)
    const other = { HORCRUX_SECRET_KEY: 'x'.repeat(40) }
    expect(await horcrux(['restore', file], other)).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('HORCRUX_SECRET_KEY'),
    })
    const mongo = { MONGODB_URL: 'mongodb://127.0.0.1:1/x' }
    expect(await horcrux(['write', file], mongo)).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('mongodump'),
    })
    // The same out of a `.env`, before any file is touched.
    const elsewhere = await mkdtemp(join(dir, 'elsewhere-'))
    await writeFile(join(elsewhere, '.env'), 'MONGODB_URL=mongodb://127.0.0.1:1/x\n')
    const secrets = await readFile(join(dataDir, 'secrets/secrets.json'), 'utf8')
    await writeFile(join(dataDir, 'secrets/secrets.json'), '{}')
    expect(await horcrux(['restore', file], {}, elsewhere)).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('mongodump'),
    })
    expect(await readFile(join(dataDir, 'secrets/secrets.json'), 'utf8')).toBe('{}')
    // A Horcrux that runs on a store that does not answer, or is none of ours: neither.
    await writeEndpoints(host, dataDir, { mongodb_url: 'mongodb://127.0.0.1:1/x' })
    expect(await horcrux(['restore', file])).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('does not answer'),
    })
    expect(await readFile(join(dataDir, 'secrets/secrets.json'), 'utf8')).toBe('{}')
    await writeEndpoints(host, dataDir, { mongodb_url: url })
    await writeFile(join(dataDir, 'secrets/secrets.json'), secrets)
    expect(await horcrux(['read', file])).toMatchObject({ code: 2 })
    expect(await names(url)).toEqual(['a'])
    expect((await readdir(join(dataDir, 'store'))).filter((name) => /restor|Z\.sqlite/.test(name))).toEqual([])
  })
})

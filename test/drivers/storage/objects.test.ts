import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { afterAll, describe, expect, test } from 'vitest'
import { poolKinds, type PoolType } from '#shared/contracts/storage/pool-kinds.ts'
import { ConflictError, NotFoundError } from '#shared/errors.ts'
import { driverOf } from '../../../services/storage/drivers/drivers.ts'
import type { Putting } from '../../../services/storage/drivers/objects.ts'
import { isTorture } from '../../lab/faults/seed.ts'
import { storageLabs } from '../../lab/storage/labs.ts'

const MiB = 2 ** 20

/** A storage pool of every kind that holds objects. */
async function open(type: PoolType) {
  const driver = driverOf({ type })
  if (!driver.objects) return []
  const lab = await storageLabs[type]()
  if (!lab) return []
  const config = await driver.prepare(lab.site, 'objects', await lab.given())
  await driver.create(lab.site.host, config)
  return [{ type, driver, objects: driver.objects, lab, host: lab.site.host, config }]
}
const opened = (await Promise.all((Object.keys(poolKinds) as PoolType[]).map(open))).flat()

const digestOf = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')

/** Content in pieces of no round size. */
async function* piecesOf(bytes: Buffer, size = 100_003) {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
}

describe.each(opened)('objects in a storage pool of kind $type', ({ driver, objects, lab, host, config }) => {
  afterAll(() => lab.stop())

  /** False in an emulated node, where each program takes long: there only the file system differs. */
  const isWhole = !lab.isSlow || isTorture
  const { signal } = new AbortController()
  const put = (key: string, bytes: Buffer, how: Partial<Putting> = {}) =>
    objects.put(host, config, key, piecesOf(bytes), { ifExists: 'refuse', signal, ...how })
  const get = async (key: string, part: { offset?: number; length?: number } = {}) =>
    Buffer.concat(await (await objects.get(host, config, key, { ...part, signal })).toArray())
  const keysIn = async (prefix: string) => (await objects.list(host, config, prefix)).objects.map(({ key }) => key)
  // More than two parts of a multipart upload, except where a server is emulated.
  const large = randomBytes((lab.isSlow ? 3 : 20) * MiB + 12_345)

  test('are stored whole, and read whole or in parts', async () => {
    const told = await put('packs/ab/large', large, { size_bytes: large.length })
    expect(told).toEqual({ is_made: true, size_bytes: large.length, sha256: digestOf(large) })
    expect(await objects.stat(host, config, 'packs/ab/large')).toMatchObject({
      key: 'packs/ab/large',
      size_bytes: large.length,
      modified_at: expect.stringMatching(/^2\d{3}-.*Z$/),
    })
    expect(digestOf(await get('packs/ab/large'))).toBe(told.sha256)
    const [begin, end] = [2 * MiB - 7, large.length]
    expect(await get('packs/ab/large', { offset: begin, length: 1000 })).toEqual(large.subarray(begin, begin + 1000))
    expect(await get('packs/ab/large', { offset: end - 5, length: 1000 })).toEqual(large.subarray(end - 5))
    expect(await get('packs/ab/large', { offset: end })).toHaveLength(0)
    await put('empty', Buffer.alloc(0))
    expect(await get('empty')).toHaveLength(0)
    for (const key of ['packs/ab/large', 'empty'])
      for (let time = 0; time < 2; time++) await objects.remove(host, config, key)
    expect(await objects.stat(host, config, 'packs/ab/large')).toBeNull()
    await expect(objects.get(host, config, 'packs/ab/large', { signal })).rejects.toBeInstanceOf(NotFoundError)
    expect(await keysIn('')).toEqual([])
  })

  test.runIf(isWhole)('are listed by the beginnings of their keys, in order and in pages', async () => {
    const keys = ['a-1', 'a.b', 'a/1', 'a/2/x', 'a1', 'b/1']
    for (const key of keys) await put(key, Buffer.from(key))
    expect(await keysIn('')).toEqual(keys.toSorted())
    expect(await keysIn('a/')).toEqual(['a/1', 'a/2/x'])
    expect(await keysIn('c')).toEqual([])
    const pages: string[][] = []
    for (let after: string | null | undefined; after !== null;) {
      const page = await objects.list(host, config, 'a', { after, limit: 2 })
      pages.push(page.objects.map(({ key }) => key))
      after = page.next
    }
    expect(pages).toEqual([['a-1', 'a.b'], ['a/1', 'a/2/x'], ['a1']])
    expect((await objects.list(host, config, 'b')).objects).toMatchObject([{ key: 'b/1', size_bytes: 3 }])
    for (const key of keys) await objects.remove(host, config, key)
  })

  test('have the content of one of several writers that race for a key, unless they replace it', async () => {
    const words = Array.from({ length: isWhole ? 8 : 3 }, (_, index) => Buffer.from(`writer ${index}`))
    const told = await Promise.all(words.map((word) => put('raced/one', word)))
    const made = told.flatMap(({ is_made }, index) => (is_made ? [index] : []))
    expect(made).toHaveLength(1)
    expect(await get('raced/one')).toEqual(words[made[0]!])
    expect(await put('raced/one', Buffer.from('other'))).toMatchObject({ is_made: false })
    expect(await put('raced/one', Buffer.from('other'), { ifExists: 'replace' })).toMatchObject({ is_made: true })
    expect((await get('raced/one')).toString()).toBe('other')
    await objects.remove(host, config, 'raced/one')
  })

  test.runIf(isWhole)('are not there when their content breaks off, has another length, or is aborted', async () => {
    async function* breaking() {
      yield large.subarray(0, 2 * MiB)
      throw new Error('the disk that is read failed')
    }
    const put = (content: AsyncIterable<Uint8Array>, how: object = {}) =>
      objects.put(host, config, 'never', content, { ifExists: 'replace', signal, ...how })
    await expect(put(breaking())).rejects.toThrow('the disk that is read failed')
    for (const size_bytes of [large.length + 1, large.length - 1])
      await expect(put(piecesOf(large), { size_bytes })).rejects.toBeInstanceOf(ConflictError)
    const stop = new AbortController()
    async function* stopping() {
      yield large.subarray(0, 2 * MiB)
      stop.abort(new Error('cancelled'))
      yield* piecesOf(large)
    }
    await expect(put(stopping(), { signal: stop.signal })).rejects.toThrow('cancelled')
    expect(await objects.stat(host, config, 'never')).toBeNull()
    // Nothing is left for the sweep.
    expect(await objects.sweep(host, config, new Date(Date.now() + 86_400_000))).toBe(0)
  })

  test.runIf(isWhole)('are swept when their writer has died, and not while it is younger', async () => {
    const resume = new AbortController()
    async function* halting() {
      yield* piecesOf(large)
      await once(resume.signal, 'abort')
      yield Buffer.from('more')
    }
    const halted = objects.put(host, config, 'halted', halting(), {
      ifExists: 'refuse',
      signal,
      // A store that takes parts gets the first one as soon as there is a second.
      size_bytes: large.length + 4,
    })
    halted.catch(() => undefined)
    const far = new Date(Date.now() + 86_400_000)
    expect(await objects.sweep(host, config, new Date(Date.now() - 86_400_000))).toBe(0)
    await expect.poll(() => objects.sweep(host, config, far), { timeout: 60_000, interval: 200 }).toBe(1)
    resume.abort()
    await expect(halted).rejects.toThrow()
    expect(await keysIn('')).toEqual([])
  })

  test.runIf(isWhole)('have no keys that lead elsewhere', async () => {
    const hostile = [
      '',
      '../x',
      '/x',
      '-x',
      '.x',
      'a//b',
      'a/../b',
      'a/./b',
      'a/',
      'a\nb',
      'a b',
      'ä',
      'a\0b',
      'a%2f..',
      'x'.repeat(101),
    ]
    for (const key of hostile) {
      await expect(put(key, Buffer.from('x')), JSON.stringify(key)).rejects.toThrow(/is no key/)
      await expect(objects.get(host, config, key, { signal })).rejects.toThrow(/is no key/)
      await expect(objects.remove(host, config, key)).rejects.toThrow(/is no key/)
    }
    expect(await keysIn('')).toEqual([])
  })

  test.runIf(isWhole)('keep their storage pool from being removed, and are no volumes', async () => {
    await put('kept', Buffer.from('kept'))
    const identity = await driver.identify(host, config)
    await driver.remove(host, config)
    expect(await driver.identify(host, config)).toBe(identity)
    expect((await get('kept')).toString()).toBe('kept')
    if (driver.volumes?.list) expect(await driver.volumes.list(host, config)).toEqual({ found: [], skipped: [] })
    await objects.remove(host, config, 'kept')
    const again = await driver.prepare(lab.site, 'again', await lab.given())
    await driver.create(host, again)
    await objects.put(host, again, 'a/b', piecesOf(Buffer.from('x')), { ifExists: 'refuse', signal })
    await objects.remove(host, again, 'a/b')
    await driver.remove(host, again)
    await expect(driver.usage(host, again)).rejects.toBeInstanceOf(NotFoundError)
  })
})

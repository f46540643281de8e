import { afterAll, describe, expect, test } from 'vitest'
import { pathOfSource } from '#shared/contracts/storage/disk-source.ts'
import { isValid } from '#shared/contract/validate.ts'
import { Path } from '#shared/contracts/common.ts'
import type { PoolType } from '#shared/contracts/storage/pool-kinds.ts'
import { ConflictError, NotFoundError } from '#shared/errors.ts'
import { secretFiles } from '#shared/nodes/host/secret-files.ts'
import { driverOf } from '../../../services/storage/drivers/drivers.ts'
import { type RequestContext, within } from '#shared/runtime/request-context.ts'
import { withImage } from '../../../services/storage/backups/nbd/open-image.ts'
import { fileContent } from '../../../services/storage/downloads/file-content.ts'
import { unlocked } from '../../../services/storage/images/compare.ts'
import { fileOfOriginal } from '../../../services/storage/images/images.ts'
import type { Original, VolumeSpec } from '../../../services/storage/drivers/driver.ts'
import { seedOf } from '../../lab/faults/seed.ts'
import { hostilePaths } from '../../lab/storage/hostile.ts'
import { until } from '../../lab/wait.ts'
import { imageTools } from '../../lab/storage/image-tools.ts'
import { drawnKinds, type StorageLab, storageLabs } from '../../lab/storage/labs.ts'

const MiB = 2 ** 20
const GiB = 2 ** 30
/** Of most volumes: an emulated storage node reads a whole disk to copy it. */
const usual = 64 * MiB
const copyId = '0198d1c5-7b1e-7000-8000-000000000001'
const copying = { ifExists: 'refuse' as const, signal: new AbortController().signal, onProgress: () => undefined }

/** A storage pool of every kind. What it can do decides which tests there are, so it is there before them. */
async function open(type: PoolType) {
  const driver = driverOf({ type })
  if (!driver.volumes) return []
  const lab: StorageLab | null = await storageLabs[type]()
  if (!lab) return []
  const config = await driver.prepare(lab.site, 'one', await lab.given())
  await driver.create(lab.site.host, config)
  return [{ type, driver, volumes: driver.volumes, lab, host: lab.site.host, config }]
}
/** Kinds of storage pools; `KINDS=zfs,lvm` names some. */
const kinds = (process.env['KINDS']?.split(',') as PoolType[] | undefined) ?? drawnKinds(seedOf('storage pools'))
const opened = (await Promise.all(kinds.map(open))).flat()

/** Null for nothing in the place of a storage pool, as for something that is none. */
function unlessMissing(error: unknown): null {
  if (error instanceof NotFoundError) return null
  throw error
}

describe.each(opened)('a storage pool of kind $type', ({ driver, volumes, lab, host, config }) => {
  afterAll(() => lab.stop())

  const { formats, default_format, linked_clone_format } = driver.capabilitiesOf(config)
  /** False: the storage makes the volumes, and `given` has made some. */
  const makes = default_format !== null
  const format = default_format ?? formats[0]!
  const volume = (name: string, more: Partial<VolumeSpec> = {}): VolumeSpec => ({
    name,
    format,
    size_bytes: usual,
    ...more,
  })
  const sourceOf = (spec: VolumeSpec) => volumes.sourceOn(host, config, spec)
  const originalOf = async (spec: VolumeSpec): Promise<Original> => ({
    source: await sourceOf(spec),
    format: spec.format,
    tool: volumes.toolFile?.(config, spec, secretFiles[0]),
    volume: spec,
  })
  const create = (spec: VolumeSpec, ifExists: 'accept' | 'refuse' = 'refuse') =>
    volumes.create(host, config, spec, { ifExists })
  const { fileOf, fill, holds, sizeOf } = imageTools(host, volumes, config)

  test('has a place of its own, and the same place for the same request', async () => {
    const given = await lab.given()
    const [one, again] = [await driver.prepare(lab.site, 'a', given), await driver.prepare(lab.site, 'b', given)]
    expect(driver.placeOf(one)).toBe(driver.placeOf(again))
    expect(driver.placeOf(one)).not.toBe(driver.placeOf(config))
    expect(driver.nodesOf(given)).toEqual(driver.nodesOf(one))
  })

  test('takes no hostile path', async () => {
    const given = await lab.given()
    if (!('path' in given) || given.path === undefined) return
    const { allowed_paths } = lab.site.folders
    // The contract refuses others.
    for (const path of hostilePaths(allowed_paths[0]!).filter((one) => isValid(Path, one))) {
      const refused = driver.prepare(lab.site, 'hostile', { ...given, path })
      await expect(refused, JSON.stringify(path.slice(0, 80))).rejects.toThrow()
    }
  })

  test.runIf(makes)('is created and removed repeatedly, and tells its usage in between', async () => {
    const other = await driver.prepare(lab.site, 'two', await lab.given())
    await driver.create(host, other)
    await driver.create(host, other)
    const { capacity_bytes, available_bytes } = await driver.usage(host, other)
    if (capacity_bytes !== null) expect(capacity_bytes).toBeGreaterThan(0)
    if (capacity_bytes !== null) expect(available_bytes).toBeLessThanOrEqual(capacity_bytes)
    await driver.remove(host, other)
    await driver.remove(host, other)
    await expect(driver.usage(host, other)).rejects.toThrow(/not found/i)
  })

  test.runIf(makes)('has an identity of its own, which stays as long as it is there', async () => {
    const other = await driver.prepare(lab.site, 'identity', await lab.given())
    expect(await driver.identify(host, other).catch(unlessMissing)).toBeNull()
    const identity = await driver.create(host, other)
    expect(identity).not.toBe('')
    expect(await driver.identify(host, other)).toBe(identity)
    expect(await driver.create(host, other)).toBe(identity)
    expect(await driver.identify(host, config)).not.toBe(identity)
    await driver.remove(host, other)
    expect(await driver.create(host, other)).not.toBe(identity)
    await driver.remove(host, other)
  })

  test.runIf(makes)('tells the bytes of a volume, never fewer than were written', async () => {
    const spec = volume('measured')
    await create(spec)
    await fill(await fileOf(spec), format, 1)
    const { logical_bytes, source } = await volumes.usage(host, config, spec)
    expect(logical_bytes).toBe(usual)
    // ZFS counts the bytes of a transaction group when it is on the disk.
    await until(async () => {
      const { referenced_bytes } = await volumes.usage(host, config, spec)
      return referenced_bytes === null || referenced_bytes >= MiB
    })
    expect(source).not.toBe('')
    await volumes.delete(host, config, spec)
    await expect(volumes.usage(host, config, spec)).rejects.toBeInstanceOf(NotFoundError)
  })

  test.runIf(makes)('is not removed while something is in it', async () => {
    await create(volume('stays'))
    await driver.remove(host, config)
    expect(await volumes.exists(host, config, volume('stays'))).toBe(true)
    await volumes.delete(host, config, volume('stays'))
  })

  test.runIf(makes).each(formats)('holds volumes in %s: made once, grown, deleted, each repeatedly', async (each) => {
    expect(formats).toContain(format)
    const spec = volume(`plain-${each}`, { format: each })
    expect(await volumes.exists(host, config, spec)).toBe(false)
    expect(await create(spec)).toBe(true)
    expect(await volumes.exists(host, config, spec)).toBe(true)
    expect(await create(spec, 'accept')).toBe(true)
    expect(await create(spec, 'refuse')).toBe(false)
    expect(await create({ ...spec, size_bytes: 2 * usual }, 'accept')).toBe(false)
    const file = await fileOf(spec)
    expect(await sizeOf(file, each)).toBe(usual)
    await fill(file, each, 7)
    for (let time = 0; time < 2; time++) await volumes.resize(host, config, { ...spec, size_bytes: 2 * usual })
    expect(await sizeOf(file, each)).toBe(2 * usual)
    expect(await holds(file, each, 7)).toBe(true)
    for (let time = 0; time < 2; time++) await volumes.delete(host, config, spec)
    expect(await volumes.exists(host, config, spec)).toBe(false)
  })

  test.runIf(makes)(
    'has volumes that a server of their bytes reads, without a lock that a guest would wait for',
    async () => {
      const spec = volume('served')
      await create(spec)
      await fill(await fileOf(spec), format, 7)
      await volumes.activate?.(host, config, spec)
      const original = await originalOf(spec)
      const { format: _, ...tool } = unlocked(fileOfOriginal(original), original.source)
      const how = { isWritten: false, signal: copying.signal }
      const [first, second] = await withImage(host, { ...original, tool }, how, async (image) => {
        const { size_bytes, read } = await fileContent(image, 'raw')
        expect(size_bytes).toBe(usual)
        expect((await read(0, 4)).toString('hex')).toBe('07070707')
        // Written meanwhile, as by a guest that starts.
        const written = fill(await fileOf(spec), format, 9)
        await written
        return [await read(MiB - 4, 8), await read(0, 4)] as const
      })
      expect(first.toString('hex').slice(8)).toBe('00000000')
      expect(second).toHaveLength(4)
      expect(await holds(await fileOf(spec), format, 9)).toBe(true)
      await volumes.delete(host, config, spec)
    },
  )

  test.runIf(!makes)('has the volumes that its storage has made, and makes, resizes and deletes none', async () => {
    const listed = () => volumes.list!(host, config)
    const { found } = await listed()
    expect(found.length).toBeGreaterThan(1)
    expect(new Set(found.map(({ name }) => name)).size).toBe(found.length)
    for (const spec of found) {
      expect(await volumes.exists(host, config, spec)).toBe(true)
      expect(await volumes.find!(host, config, await sourceOf(spec))).toEqual(spec)
      expect((await volumes.usage(host, config, spec)).logical_bytes).toBe(spec.size_bytes)
      expect(await sizeOf(await fileOf(spec), spec.format)).toBe(spec.size_bytes)
      await fill(await fileOf(spec), spec.format, spec.size_bytes / MiB)
      await volumes.activate?.(host, config, spec)
      await volumes.resize(host, config, spec)
      await expect(volumes.resize(host, config, { ...spec, size_bytes: 2 * GiB })).rejects.toBeInstanceOf(ConflictError)
      await volumes.delete(host, config, spec)
    }
    for (const spec of found) expect(await holds(await fileOf(spec), spec.format, spec.size_bytes / MiB)).toBe(true)
    const name = found[0]!.name.replace(/.$/, (last) => (last === '0' ? '1' : '0'))
    for (const ifExists of ['refuse', 'accept'] as const)
      await expect(create({ ...found[0]!, name }, ifExists)).rejects.toBeInstanceOf(ConflictError)
    // Another device in the place of one.
    await expect(volumes.usage(host, config, { ...found[0]!, name })).rejects.toBeInstanceOf(NotFoundError)
    expect(await volumes.exists(host, config, { ...found[0]!, name })).toBe(false)
    expect(await driver.create(host, config)).toBe(await driver.identify(host, config))
    await driver.remove(host, config)
    expect(await listed()).toEqual({ found, skipped: [] })
    const { capacity_bytes } = await driver.usage(host, config)
    expect(capacity_bytes).toBe(found.reduce((sum, { size_bytes }) => sum + size_bytes, 0))
  })

  test.runIf(makes)('leaves something else in the place of a volume as it is', async () => {
    const spec = volume('foreign')
    await lab.putForeign(await sourceOf(spec))
    expect(await volumes.exists(host, config, spec)).toBe(true)
    for (const ifExists of ['refuse', 'accept'] as const) expect(await create(spec, ifExists)).toBe(false)
    await volumes.delete(host, config, spec)
  })

  test.runIf(volumes.find && makes)('finds a volume by its source, and no other source', async () => {
    const spec = volume('found')
    await create(spec)
    expect(await volumes.find!(host, config, await sourceOf(spec))).toEqual(spec)
    expect(await volumes.find!(host, config, { type: 'file', path: '/elsewhere/found.img' })).toBeNull()
    expect(await volumes.find!(host, config, { type: 'network', protocol: 'x', name: 'y', servers: [] })).toBeNull()
    await volumes.delete(host, config, spec)
    await expect(volumes.find!(host, config, await sourceOf(spec))).rejects.toThrow(/is not on/)
  })

  test.runIf(volumes.copies)('copies an image into an independent volume', async () => {
    const { copies } = volumes
    const [from, to] = [volume('original'), volume('copy')]
    await create(from)
    await fill(await fileOf(from), format, 3)
    const original = await originalOf(from)
    expect(await copies!.dataBytes(host, original)).toBeGreaterThanOrEqual(MiB)
    expect(await copies!.full(host, original, config, to, copying)).toBe(true)
    expect(await copies!.full(host, original, config, to, copying)).toBe(false)
    expect(await copies!.full(host, original, config, to, { ...copying, ifExists: 'accept' })).toBe(true)
    await fill(await fileOf(from), format, 4)
    expect(await holds(await fileOf(to), format, 3)).toBe(true)
    const far = { source: { type: 'network' as const, protocol: 'x', name: 'y', servers: [] }, format }
    await expect(copies!.full(host, far, config, volume('far'), copying)).rejects.toBeInstanceOf(ConflictError)
    for (const spec of [from, to]) await volumes.delete(host, config, spec)
  })

  test.runIf(volumes.copies?.linked)(
    'makes a linked clone, which reads from its original until it is written',
    async () => {
      const { linked } = volumes.copies!
      const [from, to] = [volume('base'), volume('linked', { format: linked_clone_format! })]
      await create(from)
      await fill(await fileOf(from), format, 5)
      const original = await originalOf(from)
      expect(await linked!(host, original, config, to, { ifExists: 'refuse' })).toBe(true)
      expect(await linked!(host, original, config, to, { ifExists: 'accept' })).toBe(true)
      expect(await linked!(host, original, config, to, { ifExists: 'refuse' })).toBe(false)
      expect(await holds(await fileOf(to), to.format, 5)).toBe(true)
      await fill(await fileOf(to), to.format, 6)
      expect(await holds(await fileOf(from), format, 5)).toBe(true)
      for (const spec of [to, from]) await volumes.delete(host, config, spec)
    },
  )

  test.runIf(volumes.liveCopies).each(formats)('takes a copy in %s that a hypervisor writes', async (each) => {
    const { open, commit, bytesNeeded } = volumes.liveCopies!
    const spec = volume(`live-${each}`, { format: each })
    expect(bytesNeeded(spec, MiB)).toBeGreaterThanOrEqual(MiB)
    await open(host, config, spec, copyId)
    // A copy that begins again gets an empty image.
    const image = await open(host, config, spec, copyId)
    expect(JSON.stringify(image.source)).toContain(copyId)
    expect(await volumes.exists(host, config, spec)).toBe(false)
    await fill({ path: pathOfSource(image.source)! }, each, 9)
    for (let time = 0; time < 2; time++) await commit(host, config, spec, image)
    expect(await holds(await fileOf(spec), each, 9)).toBe(true)
    await volumes.delete(host, config, spec)
  })

  test.runIf(volumes.liveCopies)('keeps the image that a newer try has opened, and places no other', async () => {
    const { open, commit } = volumes.liveCopies!
    const spec = volume('raced')
    const inTry = <T>(number: number, work: () => Promise<T>): Promise<T> =>
      // The other fields of the context are of no use to a driver.
      within({ calledBy: { operation: copyId, epoch: 1 }, call: { id: copyId, number } } as RequestContext, work)
    await inTry(1, () => open(host, config, spec, copyId))
    const newer = await inTry(2, () => open(host, config, spec, copyId))
    await fill({ path: pathOfSource(newer.source)! }, format, 9)
    // The first try wakes up after its check, and does it all once more.
    const late = await inTry(1, () => open(host, config, spec, copyId))
    expect(late.source).not.toEqual(newer.source)
    await inTry(2, () => commit(host, config, spec, newer))
    await expect(inTry(1, () => commit(host, config, spec, late))).rejects.toBeInstanceOf(ConflictError)
    expect(await holds(await fileOf(spec), format, 9)).toBe(true)
    await volumes.delete(host, config, spec)
  })
})

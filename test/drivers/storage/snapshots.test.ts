import { afterAll, describe, expect, test } from 'vitest'
import { pathOfSource } from '#shared/contracts/storage/disk-source.ts'
import type { PoolType } from '#shared/contracts/storage/pool-kinds.ts'
import { driverOf } from '../../../services/storage/drivers/drivers.ts'
import type { Family, Head, Original, VolumeSpec } from '../../../services/storage/drivers/driver.ts'
import { sample, seedOf } from '../../lab/faults/seed.ts'
import { imageTools } from '../../lab/storage/image-tools.ts'
import { drawnKinds, type StorageLab, storageLabs } from '../../lab/storage/labs.ts'

const GiB = 2 ** 30
const MiB = 2 ** 20
const seed = seedOf('snapshots of volumes')

/** A storage pool of every kind that takes snapshots. */
async function open(type: PoolType) {
  const driver = driverOf({ type })
  const lab: StorageLab | null = await storageLabs[type]()
  if (!lab) return []
  const config = await driver.prepare(lab.site, 'one', await lab.given())
  await driver.create(lab.site.host, config)
  return [{ type, driver, volumes: driver.volumes!, lab, host: lab.site.host, config }]
}
const kinds = drawnKinds(seed).filter((type) => driverOf({ type }).volumes?.snapshots)
const opened = (await Promise.all(kinds.map(open))).flat()

describe.each(opened)('snapshots in a storage pool of kind $type', ({ driver, volumes, lab, host, config }) => {
  afterAll(() => lab.stop())
  const snapshots = volumes.snapshots!
  const { formats, default_format } = driver.capabilitiesOf(config)
  const format = default_format!

  const { io, fileOf } = imageTools(host, volumes, config)
  const fileOfOriginal = ({ tool, source }: Original) => tool ?? { path: pathOfSource(source)! }
  /** Writes a byte over the MiB of this number. */
  const write = async (spec: VolumeSpec, place: number, byte: number) =>
    io(await fileOf(spec), spec.format, `write -P ${byte} ${place * MiB} ${MiB}`)
  const holds = async (spec: VolumeSpec, ...bytes: number[]) => {
    for (const [place, byte] of bytes.entries()) {
      const said = await io(await fileOf(spec), spec.format, `read -P ${byte} ${place * MiB} ${MiB}`)
      expect(said, `byte ${byte} in place ${place} of ${spec.head}`).not.toContain('verification failed')
    }
  }
  const foreseen = (family: Family, id: string) => snapshots.foreseeDeletion(host, config, family, id, false)

  /** A volume, of which a test keeps the record that the product would have. */
  async function volumeOf(name: string, first = format) {
    const spec: VolumeSpec = { name, format: first, size_bytes: GiB }
    await volumes.create(host, config, spec, { ifExists: 'refuse' })
    const family: Family = { volume: spec, hasClones: false, snapshots: [], keptHeads: [] }
    const take = async (id: string) => {
      const [taken] = await snapshots.take(host, config, [family.volume], id)
      family.snapshots.push({ id, native: taken!.native, hasClones: false })
      Object.assign(family.volume, taken!.head)
    }
    /** Restores a snapshot; the head of before is kept. */
    const restore = async (id: string, headId: string): Promise<Head> => {
      const { head = null, format: of, size_bytes: size } = family.volume
      const former: Head = { head, format: of, size_bytes: size }
      const from = family.snapshots.find((each) => each.id === id)!
      let next: Head | undefined
      for (let time = 0; time < 2; time++) next = await snapshots.open(host, config, family.volume, from, headId)
      for (let time = 0; time < 2; time++) await snapshots.swap(host, config, family.volume, next!)
      Object.assign(family.volume, next!)
      return former
    }
    const discard = async (head: Head) => {
      for (let time = 0; time < 2; time++) await snapshots.discard(host, config, family.volume, head.head)
    }
    const remove = async (id: string) => {
      const { plan, obstacle } = await foreseen(family, id)
      expect(obstacle).toBeNull()
      const how = { plan, isMerged: false, signal: new AbortController().signal, onProgress: () => undefined }
      // The process may die before the identities are recorded.
      let deleted = await snapshots.delete(host, config, family, id, how)
      deleted = await snapshots.delete(host, config, family, id, how)
      family.snapshots = deleted.snapshots.map((each) => Object.assign({}, each, { hasClones: false }))
      Object.assign(family.volume, deleted.head)
      if (deleted.leftover !== null) await snapshots.discard(host, config, family.volume, deleted.leftover)
    }
    const end = async () => {
      for (const { id } of family.snapshots) await remove(id)
      await volumes.delete(host, config, family.volume)
      expect(await snapshots.list(host, config, family.volume)).toEqual([])
    }
    return { family, take, restore, discard, remove, end }
  }

  test('are found again when they are taken twice, with all volumes of one moment', async () => {
    const [one, two] = [await volumeOf('a'), await volumeOf('b')]
    await write(one.family.volume, 0, 1)
    await write(two.family.volume, 0, 2)
    const { needed_bytes, obstacles } = await snapshots.foresee(host, config, [one.family.volume, two.family.volume])
    expect(obstacles).toEqual([])
    expect(needed_bytes).toBeGreaterThanOrEqual(0)
    const both = [one.family.volume, two.family.volume]
    const first = await snapshots.take(host, config, both, 's1')
    expect(await snapshots.take(host, config, both, 's1')).toEqual(first)
    expect(new Set(first.map(({ native }) => native)).size).toBe(2)
    for (const [index, each] of [one, two].entries()) {
      Object.assign(each.family.volume, first[index]!.head)
      each.family.snapshots.push({ id: 's1', native: first[index]!.native, hasClones: false })
      await write(each.family.volume, 0, 9)
    }
    const of = await snapshots.original(host, config, two.family.volume, two.family.snapshots[0]!)
    expect(await io(fileOfOriginal(of), of.format, `read -P 2 0 ${MiB}`)).not.toContain('verification failed')
    for (const each of [one, two]) await each.end()
  })

  test('are restored to and forward again; newer ones and the former head stay (V1)', async () => {
    const disk = await volumeOf('web')
    const { family, take, restore, discard } = disk
    await write(family.volume, 0, 1)
    await take('s1')
    await write(family.volume, 0, 2)
    await take('s2')
    await write(family.volume, 0, 3)
    const former = await restore('s1', 'r1')
    await holds(family.volume, 1)
    await write(family.volume, 0, 4)
    // Back to the state of before the restore.
    const restored: Head = { head: family.volume.head ?? null, format: family.volume.format, size_bytes: GiB }
    for (let time = 0; time < 2; time++) await snapshots.swap(host, config, family.volume, former)
    Object.assign(family.volume, former)
    await holds(family.volume, 3)
    await discard(restored)
    await discard(await restore('s2', 'r2'))
    await holds(family.volume, 2)
    await discard(await restore('s1', 'r3'))
    await holds(family.volume, 1)
    await disk.end()
  })

  test('are deleted in any order, and no other state changes', async () => {
    const orders = [
      ['s1', 's2', 's3'],
      ['s3', 's2', 's1'],
      ['s2', 's1', 's3'],
      ['s2', 's3', 's1'],
    ]
    const drawn = lab.isSlow ? sample(orders, seed, 1) : orders
    for (const [index, order] of drawn.entries()) {
      const disk = await volumeOf(`order-${index}`, formats[index % formats.length])
      const { family, take, restore, discard, remove } = disk
      for (const [place, id] of ['s1', 's2', 's3'].entries()) {
        await write(family.volume, place, place + 1)
        await take(id)
      }
      // A branch beside s2 and s3.
      await discard(await restore('s1', `r-${index}`))
      await write(family.volume, 1, 7)
      for (const [gone, id] of order.entries()) {
        await remove(id)
        await holds(family.volume, 1, 7, 0)
        for (const left of order.slice(gone + 1)) {
          const former = await restore(left, `look-${left}-${gone}`)
          await holds(family.volume, ...{ s1: [1, 0, 0], s2: [1, 2, 0], s3: [1, 2, 3] }[left]!)
          const looked = { head: family.volume.head ?? null, format: family.volume.format, size_bytes: GiB }
          await snapshots.swap(host, config, family.volume, former)
          Object.assign(family.volume, former)
          await discard(looked)
        }
      }
      await disk.end()
    }
  })

  test('keep the size that a volume had when they were taken', async () => {
    const disk = await volumeOf('grown')
    const { family, take, restore, discard, remove } = disk
    await write(family.volume, 0, 1)
    await take('s1')
    family.volume.size_bytes = 2 * GiB
    await volumes.resize(host, config, family.volume)
    await write(family.volume, 1024, 2)
    await take('s2')
    const former = await restore('s1', 'r1')
    expect(family.volume.size_bytes).toBe(GiB)
    await discard(former)
    await discard(await restore('s2', 'r2'))
    expect(family.volume.size_bytes).toBe(2 * GiB)
    await remove('s1')
    await holds(family.volume, 1)
    const said = await io(await fileOf(family.volume), family.volume.format, `read -P 2 ${1024 * MiB} ${MiB}`)
    expect(said).not.toContain('verification failed')
    await disk.end()
  })

  test.runIf(snapshots.clone)('have linked clones, which no deletion of a snapshot changes (V2)', async () => {
    const disk = await volumeOf('base')
    const { family, take } = disk
    await write(family.volume, 0, 1)
    await take('s1')
    await write(family.volume, 0, 2)
    await take('s2')
    const clone: VolumeSpec = {
      name: 'clone',
      format: driver.capabilitiesOf(config).linked_clone_format!,
      size_bytes: GiB,
    }
    const from = { volume: family.volume, snapshot: family.snapshots[1]! }
    for (let time = 0; time < 2; time++)
      expect(await snapshots.clone!(host, config, from, clone, { ifExists: 'accept' })).toBe(true)
    family.snapshots[1]!.hasClones = true
    await holds(clone, 2)
    await write(clone, 1, 5)
    for (const id of ['s1', 's2']) {
      const { obstacle, plan } = await foreseen(family, id)
      if (obstacle !== null) expect(obstacle).toMatch(/linked clone/)
      else
        Object.assign(
          family,
          await snapshots.delete(host, config, family, id, {
            plan,
            isMerged: false,
            signal: new AbortController().signal,
            onProgress: () => undefined,
          }),
        )
      await holds(clone, 2, 5)
    }
    await volumes.delete(host, config, clone)
    for (const each of family.snapshots) each.hasClones = false
    await disk.end()
  })
})

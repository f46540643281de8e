import { afterAll, describe, expect, test } from 'vitest'
import { pathOfSource } from '#shared/contracts/storage/disk-source.ts'
import { ConflictError } from '#shared/errors.ts'
import { isLow } from '../../../services/storage/pools/room.ts'
import { drivers } from '../../../services/storage/drivers/drivers.ts'
import type { VolumeSpec } from '../../../services/storage/drivers/driver.ts'
import { type LoopMount, loopMount } from '../../lab/storage/loop-mount.ts'
import { storageLabs } from '../../lab/storage/labs.ts'

const MiB = 2 ** 20
const copying = { ifExists: 'refuse' as const, signal: new AbortController().signal, onProgress: () => undefined }
const disk = (name: string, size_bytes: number): VolumeSpec => ({ name, format: 'raw', size_bytes })

const xfs = await loopMount('xfs', 512 * MiB)
describe.skipIf(!xfs)('a folder on a file system that shares blocks', () => {
  const { host, folder, stop } = xfs as LoopMount
  afterAll(() => stop())

  test('takes no space for a full copy until one of the two is written', async () => {
    const config = { node: 'hv1', path: `${folder}/pool` }
    const { volumes } = drivers.dir
    await drivers.dir.create(host, config)
    const [from, to] = [disk('from', 128 * MiB), disk('to', 128 * MiB)]
    await volumes!.create(host, config, from, { ifExists: 'refuse' })
    const source = await volumes!.sourceOn(host, config, from)
    const path = pathOfSource(source)!
    const random = ['if=/dev/urandom', `of=${path}`, 'bs=1M', 'count=100', 'conv=notrunc,fsync', 'status=none']
    await host.runChecked('dd', random)
    const before = (await host.space(folder)).freeBytes
    await volumes!.copies!.full(host, { source, format: 'raw' }, config, to, copying)
    expect(before - (await host.space(folder)).freeBytes).toBeLessThan(10 * MiB)
    const copy = pathOfSource(await volumes!.sourceOn(host, config, to))!
    await host.runChecked('cmp', [path, copy])
    await host.runChecked('qemu-io', ['-f', 'raw', '-c', 'write -P 1 0 1M', copy])
    expect((await host.run('cmp', ['-s', path, copy])).code).toBe(1)
  })
})

describe('Btrfs', async () => {
  const lab = await storageLabs.btrfs()
  afterAll(() => lab?.stop())

  test.skipIf(!lab)('writes all of a volume again after a snapshot: no quota stands against it (V7)', async () => {
    const { host } = lab!.site
    const config = await drivers.btrfs.prepare(lab!.site, 'one', await lab!.given())
    await drivers.btrfs.create(host, config)
    const volumes = drivers.btrfs.volumes!
    const volume = disk('full', 80 * MiB)
    await volumes.create(host, config, volume, { ifExists: 'refuse' })
    const path = pathOfSource(await volumes.sourceOn(host, config, volume))!
    const write = (block: string, count: string) => {
      const words = ['if=/dev/urandom', `of=${path}`, `bs=${block}`, `count=${count}`, 'conv=notrunc,fsync']
      return host.runChecked('dd', [...words, 'status=none'])
    }
    await write('1M', '80')
    const usage = () => volumes.usage(host, config, volume)
    const before = await usage()
    await volumes.snapshots!.take(host, config, [volume], 'v7')
    // A number that drops because of a snapshot would be wrong (canonical/lxd#8468).
    expect((await usage()).referenced_bytes).toBe(before.referenced_bytes)
    expect((await usage()).exclusive_bytes).toBe(0)
    await write('4k', String((80 * MiB) / 4096))
    expect((await usage()).exclusive_bytes).toBe(80 * MiB)
  })
})

describe('ZFS', async () => {
  const lab = await storageLabs.zfs()
  afterAll(() => lab?.stop())

  test.skipIf(!lab)('a snapshot for which a thick volume has no room is foretold, with the bytes (V8)', async () => {
    const { host } = lab!.site
    const config = await drivers.zfs.prepare(lab!.site, 'one', Object.assign({ thin: false }, await lab!.given()))
    await drivers.zfs.create(host, config)
    await host.runChecked('zfs', ['set', 'quota=80M', config.dataset])
    const volumes = drivers.zfs.volumes!
    const volume = disk('thick', 48 * MiB)
    await volumes.create(host, config, volume, { ifExists: 'refuse' })
    const path = pathOfSource(await volumes.sourceOn(host, config, volume))!
    const random = ['if=/dev/urandom', `of=${path}`, 'bs=1M', 'count=44', 'conv=fsync', 'status=none']
    await host.runChecked('dd', random)
    await host.runChecked('zpool', ['sync'])
    const { needed_bytes } = await volumes.snapshots!.foresee(host, config, [volume])
    const { available_bytes, fills } = await drivers.zfs.usage(host, config)
    expect(fills).toMatchObject([{ name: 'quota' }])
    expect(needed_bytes).toBeGreaterThan(40 * MiB)
    expect(available_bytes!).toBeLessThan(needed_bytes)
    await expect(volumes.snapshots!.take(host, config, [volume], 'v8')).rejects.toBeInstanceOf(ConflictError)
    expect(await volumes.snapshots!.list(host, config, volume)).toEqual(['thick'])
  })
})

describe('LVM', async () => {
  const lab = await storageLabs.lvm()
  afterAll(() => lab?.stop())

  test.skipIf(!lab)('a full thin pool answers writes with an error, and is below its floor before (V9)', async () => {
    const { host } = lab!.site
    const given = Object.assign(await lab!.given(), { size: 64 * MiB })
    const config = await drivers.lvm.prepare(lab!.site, 'one', given)
    await drivers.lvm.create(host, config)
    const volumes = drivers.lvm.volumes!
    const volume = disk('thin', 128 * MiB)
    await volumes.create(host, config, volume, { ifExists: 'refuse' })
    const path = pathOfSource(await volumes.sourceOn(host, config, volume))!
    const write = (count: number) => {
      const words = ['if=/dev/zero', `of=${path}`, 'bs=1M', `count=${count}`, 'oflag=direct', 'status=none']
      return host.run('dd', words, { timeoutMs: 60_000 })
    }
    const low = async () => (await drivers.lvm.usage(host, config)).fills.filter(isLow).map(({ name }) => name)
    expect(await low()).toEqual([])
    expect((await write(62)).code).toBe(0)
    expect(await low()).toEqual(['data'])
    const full = await write(80)
    expect(full.stderr).toMatch(/No space left|Input\/output error/)
    expect(await drivers.lvm.usage(host, config)).toMatchObject({ trouble: expect.stringMatching(/out_of_data/) })
    await volumes.delete(host, config, volume)
    expect(await low()).toEqual([])
  })
})

import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { operations } from '#shared/contracts/core/operations.ts'
import { devices } from '#shared/contracts/vm/devices.ts'
import { snapshots } from '#shared/contracts/vm/snapshots.ts'
import { type Vm, vms } from '#shared/contracts/vm/vms.ts'
import { pools } from '#shared/contracts/storage/pools.ts'
import { volumes } from '#shared/contracts/storage/volumes.ts'
import { ConflictError, ValidationError } from '#shared/errors.ts'
import { sshHost } from '#shared/nodes/host/ssh/ssh.ts'
import { refusal } from '../../lab/guests/clones.ts'
import { hasKinds, mountOn, startKindsLab } from '../../lab/guests/kinds.ts'
import { sshTarget } from '../../lab/hosts/hosts.ts'
import { until } from '../../lab/wait.ts'

const GiB = 2 ** 30
const MiB = 2 ** 20
let count = 0

describe.skipIf(!hasKinds)('a disk that is moved to another storage pool', () => {
  let lab: Awaited<ReturnType<typeof startKindsLab>>
  beforeAll(async () => {
    lab = await startKindsLab()
  })
  afterAll(() => lab?.stop())
  afterEach(() => lab.clear())

  const fresh = () => `move-${process.pid}-${count++}`
  const move = async (id: string, disk: string, to: object) =>
    (await lab.done(devices, 'moveDisk', { id, disk, ...to })) as Vm
  const get = (id: string) => lab.horcrux.call(vms, 'get', { id })
  const namesIn = async (pool: string) =>
    (await lab.horcrux.call(volumes, 'list', { id: pool }, { timeoutMs: 60_000 })).data.map(({ name }) => name)
  /** The first words of a disk, as the guest reads them from the disk itself. */
  async function read(id: string, disk: string): Promise<string> {
    const mark = `m${count++}`
    await lab.types(
      id,
      `echo 3 >/proc/sys/vm/drop_caches; echo; echo ${mark} $(head -c 12 /dev/${disk}); echo seen-${mark} $((40+2))`,
      `seen-${mark} 42`,
    )
    return new RegExp(`^${mark} (\\S+)`, 'm').exec(await lab.serial(id))![1]!
  }
  const write = (id: string, disk: string, what: string) =>
    lab.types(
      id,
      `echo ${what} | dd of=/dev/${disk} conv=notrunc,fsync 2>/dev/null; echo wrote-${what} $((1+1))`,
      `wrote-${what} 2`,
    )

  test('goes from a folder to Btrfs, to Ceph and back while its guest writes, and has all that was written', async () => {
    const id = fresh()
    await lab.make(id, [
      { pool: 'images', size: GiB },
      { pool: 'images', size: GiB },
    ])
    await write(id, 'vdb', 'at-the-begin')
    // A counter at 1 MiB, written and synced all the time.
    await lab.types(
      id,
      'i=0; (while :; do i=$((i+1)); echo count-$i | dd of=/dev/vdb bs=512 seek=2048 conv=notrunc,fsync 2>/dev/null; echo $i >/tmp/i; done) & echo begun $((1+1))',
      'begun 2',
    )
    const places: string[] = []
    for (const pool of ['sub', 'rbd', 'images']) {
      const { status, disks } = await move(id, 'vdb', { pool })
      expect(status).toBe('running')
      const disk = disks[1]!
      expect(disk).toMatchObject({ id: 'vdb', pool, size_bytes: GiB })
      places.push(`${disk.source.type} ${disk.format}`)
      expect(await read(id, 'vdb')).toBe('at-the-begin')
    }
    expect(places).toEqual(['file raw', 'network raw', 'file raw'])
    expect([await namesIn('sub'), await namesIn('rbd')]).toEqual([[], []])
    expect(await namesIn('images')).toHaveLength(2)
    await lab.types(
      id,
      'kill $!; wait; echo; echo last $(cat /tmp/i) $(dd if=/dev/vdb bs=512 skip=2048 count=1 2>/dev/null | tr -d "\\0" | head -n 1); echo told $((2+2))',
      'told 4',
    )
    const [, number, word] = /^last (\d+) count-(\d+)/m.exec(await lab.serial(id))!
    // The write after the last one that was noted may have been cut.
    expect([Number(number), Number(number) + 1]).toContain(Number(word))
    expect(Number(number)).toBeGreaterThan(3)
    expect((await get(id)).foreign_disks).toEqual([])
    await lab.switchOff(id)
    await lab.start(id)
    expect(await read(id, 'vdb')).toBe('at-the-begin')
  })

  test('goes also while its guest is off, into another format of the same storage pool', async () => {
    const id = fresh()
    await lab.make(id, [{ pool: 'images', size: GiB }])
    await write(id, 'vda', 'kept-words-1')
    await lab.switchOff(id)
    expect((await move(id, 'vda', { pool: 'rbd' })).disks[0]).toMatchObject({ pool: 'rbd', format: 'raw' })
    expect((await move(id, 'vda', { pool: 'images', format: 'raw' })).disks[0]).toMatchObject({ format: 'raw' })
    expect((await move(id, 'vda', { pool: 'images', format: 'qcow2' })).disks[0]).toMatchObject({ format: 'qcow2' })
    expect([await namesIn('images'), await namesIn('rbd')]).toMatchObject([{ length: 1 }, []])
    await lab.start(id)
    expect(await read(id, 'vda')).toBe('kept-words-1')
  })

  test('stays where it is when the move is cancelled, and nothing is left', async () => {
    const id = fresh()
    await lab.make(id, [{ pool: 'images', size: GiB, format: 'raw' }])
    await lab.types(
      id,
      'dd if=/dev/urandom of=/dev/vda bs=1M count=16 conv=fsync 2>/dev/null; echo filled $((1+1))',
      'filled 2',
    )
    await write(id, 'vda', 'never-left-1')
    const { id: operation } = (await lab.horcrux.call(devices, 'moveDisk', {
      id,
      disk: 'vda',
      pool: 'sub',
      bytes_per_second: 65_536,
    })) as unknown as { id: string }
    const seen = async () => {
      const { stage, progress } = await lab.horcrux.call(operations, 'get', { id: operation })
      return stage === 'copying' && progress.unit === 'bytes' && progress.done > 0
    }
    await until(seen, { what: 'a copy under way' })
    await lab.horcrux.call(operations, 'cancel', { id: operation })
    const isOver = async () => (await lab.horcrux.call(operations, 'get', { id: operation })).state === 'cancelled'
    await until(isOver, { what: 'the end of the move' })
    expect((await get(id)).disks[0]).toMatchObject({ pool: 'images' })
    expect(await namesIn('sub')).toEqual([])
    expect(await read(id, 'vda')).toBe('never-left-1')
    // The hypervisor has no job left: the next move is begun.
    expect((await move(id, 'vda', { pool: 'sub' })).disks[0]).toMatchObject({ pool: 'sub' })
    expect(await read(id, 'vda')).toBe('never-left-1')
  })

  test('stays where it is when the target fills: its guest goes on, and the target is removed (V13)', async () => {
    const id = fresh()
    const folder = `/var/lib/libvirt/images/small-${id}`
    const unmount = await mountOn(lab.lab, folder, 'btrfs', 400 * MiB)
    const node = sshHost(sshTarget(lab.lab))
    const pool = `small-${id}`
    try {
      await lab.horcrux.call(pools, 'create', { id: pool, type: 'dir', node: 'hv1', path: `${folder}/pool` })
      await lab.make(id, [{ pool: 'images', size: GiB }])
      await lab.types(
        id,
        'dd if=/dev/urandom of=/dev/vda bs=1M count=192 conv=fsync 2>/dev/null; echo filled $((1+1))',
        'filled 2',
      )
      await write(id, 'vda', 'stays-here-1')
      const moving = lab.ended(devices, 'moveDisk', { id, disk: 'vda', pool, bytes_per_second: 8 * MiB })
      await until(async () => (await namesIn(pool)).length > 0, { what: 'the target' })
      // Others fill the file system while the disk is copied.
      await node.run('dd', ['if=/dev/zero', `of=${folder}/theirs`, 'bs=1M', 'count=400'])
      const found = await moving
      expect(found).toMatchObject({
        state: 'failed',
        error: { message: expect.stringContaining('goes on with the disk') },
      })
      expect((await get(id)).disks[0]).toMatchObject({ pool: 'images' })
      expect(await namesIn(pool)).toEqual([])
      await write(id, 'vda', 'goes-on-here')
      expect(await read(id, 'vda')).toBe('goes-on-here')
      await lab.horcrux.call(pools, 'delete', { id: pool })
    } finally {
      await node.run('rm', ['-rf', `${folder}/theirs`, `${folder}/pool`])
      await node.close()
      await unmount()
    }
  })

  test('is refused with the reason: a snapshot, the same place, a format or a right that is not there', async () => {
    const id = fresh()
    await lab.done(vms, 'create', {
      id,
      name: id,
      memory: 128,
      cpus: 1,
      node: 'hv1',
      disks: [{ pool: 'images', size: GiB }],
    })
    const ask = (to: object, caller?: object) =>
      lab.horcrux.call(devices, 'moveDisk', { id, disk: 'vda', ...to }, { timeoutMs: 60_000, ...caller })
    const same = await refusal(ask({ pool: 'images' }), ValidationError)
    expect(same.violations).toMatchObject([{ field: 'pool', code: 'same' }])
    const format = await refusal(ask({ pool: 'sub', format: 'qcow2' }), ValidationError)
    expect(format.violations).toMatchObject([{ field: 'format', code: 'unsupported' }])
    expect((await refusal(ask({ pool: 'none' }), ValidationError)).violations).toMatchObject([{ field: 'pool' }])
    await lab.done(snapshots, 'create', { id, name: 'one' })
    expect((await refusal(ask({ pool: 'sub' }), ConflictError)).message).toMatch(/cannot be moved: 1 snapshot/)
  })
})

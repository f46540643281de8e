import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { pools } from '#shared/contracts/storage/pools.ts'
import { type Snapshot, snapshots } from '#shared/contracts/vm/snapshots.ts'
import { type Vm, vms } from '#shared/contracts/vm/vms.ts'
import { sample, seedOf } from '../../../lab/faults/seed.ts'
import { hasKinds, startKindsLab } from '../../../lab/guests/kinds.ts'
import { until } from '../../../lab/wait.ts'

const GiB = 2 ** 30
const seed = seedOf('order of deletions')
let count = 0

/**
 * ZFS and LVM are not here: no hypervisor of the lab reaches them, since the kernel of this machine has neither. Their
 * snapshots are in the suite of storage drivers, on the storage node, and take the same way through the VM service.
 */
describe.skipIf(!hasKinds)('snapshots of a guest with disks on a folder, Btrfs and Ceph at once', () => {
  let lab: Awaited<ReturnType<typeof startKindsLab>>
  beforeAll(async () => {
    lab = await startKindsLab()
  })
  afterAll(() => lab?.stop())

  const names = ['vda', 'vdb', 'vdc', 'vdd']
  const write = (id: string, what: string) =>
    lab.types(
      id,
      `for d in ${names.join(' ')}; do echo on-${what}-$d | dd of=/dev/$d conv=notrunc,fsync 2>/dev/null; done; echo wrote-${what} $((1+1))`,
      `wrote-${what} 2`,
    )
  /** The words on each disk, as the guest reads them. */
  async function read(id: string): Promise<string[]> {
    const mark = `m${count++}`
    await lab.types(
      id,
      `for d in ${names.join(' ')}; do echo; echo ${mark} $(head -c 10 /dev/$d); done; echo seen-${mark} $((40+2))`,
      `seen-${mark} 42`,
    )
    return [...(await lab.serial(id)).matchAll(new RegExp(`^${mark} (\\S+)`, 'gm'))].map(([, word]) => word!)
  }
  const on = (what: string) => names.map((name) => `on-${what}-${name}`)
  const take = async (id: string, name: string) => (await lab.done(snapshots, 'create', { id, name })) as Snapshot
  const restore = (id: string, { id: snapshot_id }: Snapshot) => lab.done(snapshots, 'restore', { id, snapshot_id })
  const readAndOff = async (id: string) => {
    await lab.start(id)
    const words = await read(id)
    await lab.switchOff(id)
    return words
  }

  test('hold what was written before, nothing of later, and go forward again; deleted in any order', async () => {
    const id = `kinds-${count++}`
    const disks = [
      { pool: 'images', size: GiB },
      { pool: 'images', size: GiB, format: 'raw' },
      { pool: 'sub', size: GiB },
      { pool: 'rbd', size: GiB },
    ]
    const vm: Vm = await lab.make(id, disks)
    expect(vm.disks.map(({ pool }) => pool)).toEqual(['images', 'images', 'sub', 'rbd'])
    await write(id, 'one')
    const first = await take(id, 'first')
    expect(first).toMatchObject({ state: 'ready', consistency: 'crash', vm_status: 'running' })
    expect(first.disks).toHaveLength(4)
    await write(id, 'two')
    const second = await take(id, 'second')
    await write(id, 'tri')
    expect(await read(id)).toEqual(on('tri'))
    await lab.switchOff(id)

    await restore(id, first)
    expect(await readAndOff(id)).toEqual(on('one'))
    await restore(id, second)
    expect(await readAndOff(id)).toEqual(on('two'))
    // Undone before the guest has started, a restore changes nothing.
    await restore(id, first)
    await lab.done(snapshots, 'undoRestore', { id })
    const [gone, other] = sample([[first, second] as const, [second, first] as const], seed, 1)[0]!
    await lab.done(snapshots, 'delete', { id, snapshot_id: gone.id })
    await lab.start(id)
    expect(await read(id)).toEqual(on('two'))
    await lab.done(snapshots, 'delete', { id, snapshot_id: other.id })
    await write(id, 'end')
    expect(await read(id)).toEqual(on('end'))
    await lab.switchOff(id)
    await lab.done(vms, 'delete', { id, purge: true })
    for (const pool of ['sub', 'rbd']) {
      const isEmpty = async () => {
        const found = await lab.horcrux.call(pools, 'orphans', { id: pool }, { timeoutMs: 60_000 })
        return [found.images, found.volumes, found.others].flat().length === 0
      }
      // A busy Ceph does not answer in time: the sweep deletes the volume then, every two minutes.
      await until(isEmpty, { what: `nothing left in ${pool}`, timeoutMs: 180_000 })
    }
    const { pool: name } = (await lab.horcrux.call(pools, 'get', { id: 'rbd' }, { timeoutMs: 60_000 })) as {
      pool?: string
    }
    expect(JSON.parse(await lab.ceph.admin('rbd', 'ls', name!, '--format', 'json'))).toEqual(['horcrux+pool'])
  })
})

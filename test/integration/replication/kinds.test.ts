import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { nodes } from '#shared/contracts/cluster/nodes.ts'
import { replicationJobs } from '#shared/contracts/storage/replication-jobs.ts'
import { replicas } from '#shared/contracts/storage/replicas.ts'
import { pools } from '#shared/contracts/storage/pools.ts'
import { volumes } from '#shared/contracts/storage/volumes.ts'
import { isTorture, sample, seedOf } from '../../lab/faults/seed.ts'
import { imagesOf } from '../../lab/guests/disks.ts'
import { fresh, type MovingLab, startMoving } from '../../lab/guests/moving.ts'
import { labHosts } from '../../lab/hosts/lab.ts'
import { done } from '../../lab/product/run-operation.ts'
import { type StorageLab, storageLabs } from '../../lab/storage/labs.ts'
import { type StorageNode, storageNode } from '../../lab/storage/storage-node.ts'

const MiB = 2 ** 20
/** Those of the emulated node, which reads a whole device through its SSH server, are for the torture. */
const emulated = isTorture ? (['zfs', 'lvm'] as const) : []
const kinds = [...sample(['btrfs', 'ceph'] as const, seedOf('kinds of replicas'), 1), ...emulated]

const register = ({ horcrux }: MovingLab, { address, port, user, privateKey, hostKey }: StorageNode['target']) =>
  done(horcrux, nodes, 'register', {
    id: 'store',
    name: 'store',
    address,
    ssh_port: port,
    ssh_user: user,
    private_key: privateKey,
    host_key: hostKey,
  })

describe.skipIf(labHosts.length === 0).each(kinds)('a replica in a storage pool of kind %s', (kind) => {
  let storage: StorageLab | null
  let lab: MovingLab
  let node: string

  beforeAll(async () => {
    storage = await storageLabs[kind]()
    if (!storage) return
    lab = await startMoving(labHosts, [], { allowedPaths: storage.site.folders.allowed_paths })
    const machine = kind === 'zfs' || kind === 'lvm' ? await storageNode() : null
    node = machine ? 'store' : 'local'
    if (machine) await register(lab, machine.target)
    const given = { ...(await storage.given()), ...(kind !== 'ceph' && { node }) }
    // LVM and Ceph take longer in an emulated node than a call waits.
    await lab.horcrux.call(pools, 'create', { id: 'kept', type: kind, ...given } as never, { timeoutMs: 60_000 })
  }, 240_000)
  afterAll(async () => {
    await lab?.clear()
    await lab?.stop()
    await storage?.stop()
  })
  const put = (...written: [file: string, byte: number, atMiB: number, mib: number]) =>
    imagesOf(labHosts[0]!).write(...written)

  test('gets all data once, then what differs, is found out when it was written to, and has its points', async () => {
    if (!storage) return
    const id = fresh('far')
    await lab.make(id, { disks: [{ pool: 'here', size: 1024 * MiB, format: 'raw' }] })
    const file = (await lab.vm(id)).disks[0]!.path!.split('/').at(-1)!
    await put(file, 0x5a, 8, 16)
    const { id: job } = await lab.horcrux.call(replicationJobs, 'create', {
      name: fresh('job'),
      selection: { kind: 'vm', vm_id: id },
      node,
      pool: 'kept',
      retention: { last: 2 },
    } as never)
    const run = async () => {
      await done(lab.horcrux, replicationJobs, 'execute', { id: job })
      return (await lab.horcrux.call(replicas, 'list', { filter: `job_id:${job}` })).data[0]!
    }
    const [first] = (await run()).points
    expect(first).toMatchObject({ sent_bytes: 16 * MiB, was_written: false })

    await put(file, 0x11, 9, 1)
    await put(file, 0x22, 100, 1)
    await put(file, 0, 20, 1)
    const second = await run()
    expect(second.points).toMatchObject([{ id: first!.id }, { sent_bytes: 3 * MiB, was_written: false }])
    const third = await run()
    expect(third.points.map(({ sent_bytes }) => sent_bytes)).toEqual([3 * MiB, 0])
    expect(third.points[1]!.disks[0]!.digest).toBe(second.points[1]!.disks[0]!.digest)
    const kept = (await lab.horcrux.call(volumes, 'list', { id: 'kept' })).data
    expect(kept).toHaveLength(1)

    await done(lab.horcrux, replicas, 'delete', { id: third.id })
    expect(await lab.volumesOf('kept')).toEqual([])
    await lab.horcrux.call(replicationJobs, 'delete', { id: job })
  }, 900_000)
})

import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { operations } from '#shared/contracts/core/operations.ts'
import {
  type ReplicationJob,
  type ReplicationOutcome,
  replicationJobs,
} from '#shared/contracts/storage/replication-jobs.ts'
import { type Replica, replicas } from '#shared/contracts/storage/replicas.ts'
import { volumes } from '#shared/contracts/storage/volumes.ts'
import { snapshots } from '#shared/contracts/vm/snapshots.ts'
import { type Vm, vms } from '#shared/contracts/vm/vms.ts'
import { ConflictError } from '#shared/errors.ts'
import { refusal } from '../../lab/guests/clones.ts'
import { imagesOf } from '../../lab/guests/disks.ts'
import { fresh, type MovingLab, startMoving } from '../../lab/guests/moving.ts'
import { labHosts } from '../../lab/hosts/lab.ts'
import { done, work } from '../../lab/product/run-operation.ts'
import { until } from '../../lab/wait.ts'

const MiB = 2 ** 20

describe.skipIf(labHosts.length === 0)('replicas on another node', () => {
  let lab: MovingLab
  beforeAll(async () => {
    lab = await startMoving(labHosts)
  })
  afterAll(() => lab?.stop())
  afterEach(async () => {
    if (!lab) return
    await lab.clear()
    for (const { id } of (await lab.horcrux.call(replicationJobs, 'list', {})).data)
      await lab.horcrux.call(replicationJobs, 'delete', { id })
    for (const { id } of (await lab.horcrux.call(replicas, 'list', {})).data)
      await done(lab.horcrux, replicas, 'delete', { id })
  })

  const replicate = (vm_id: string, more: object = {}) =>
    lab.horcrux.call(replicationJobs, 'create', {
      name: fresh('job'),
      selection: { kind: 'vm', vm_id },
      node: 'hv2',
      pool: 'there',
      ...more,
    } as never) as Promise<ReplicationJob>
  const execute = async (id: string) =>
    (await done(lab.horcrux, replicationJobs, 'execute', { id })) as { outcomes: ReplicationOutcome[] }
  const replicaOf = async (job: string): Promise<Replica> => {
    const { data } = await lab.horcrux.call(replicas, 'list', { filter: `job_id:${job}` })
    expect(data).toHaveLength(1)
    return data[0]!
  }
  const imagesOn = (node: 'hv1' | 'hv2') => imagesOf(labHosts[node === 'hv1' ? 0 : 1]!)
  const put = (node: 'hv1' | 'hv2', ...written: [file: string, byte: number, atMiB: number, mib: number]) =>
    imagesOn(node).write(...written)
  const dataOf = ({ disks }: Replica['points'][number]) => disks.reduce((sum, { data_bytes }) => sum + data_bytes, 0)
  /** The files of a VM's disks, in order. */
  const filesOf = async (vm: string) => (await lab.vm(vm)).disks.map(({ path }) => path!.split('/').at(-1)!)
  const snapshotsOf = async (id: string) => (await lab.horcrux.call(snapshots, 'list', { id })).data.length

  test('the first run sends all data, later ones only what differs, and both ends are compared each time', async () => {
    const id = fresh('source')
    await lab.make(id)
    await lab.write('hv1', `${id}-disk-0.qcow2`, 16)
    await lab.write('hv1', `${id}-disk-1.raw`, 16)
    const job = await replicate(id, { retention: { last: 2 } })
    expect(await lab.horcrux.call(replicationJobs, 'status', { id: job.id })).toMatchObject({ state: 'idle' })
    expect((await execute(job.id)).outcomes).toMatchObject([{ vm_id: id, state: 'succeeded' }])
    const first = await replicaOf(job.id)
    expect(first).toMatchObject({ vm_id: id, node: 'hv2', pool: 'there', state: 'completed', error: null })
    expect(first.points).toMatchObject([{ sent_bytes: 32 * MiB, was_written: false }])
    expect(dataOf(first.points[0]!)).toBe(32 * MiB)
    expect(first.points[0]!.disks.map((disk) => disk.format)).toEqual(['qcow2', 'raw'])
    expect(await snapshotsOf(id)).toBe(0)

    await execute(job.id)
    const again = await replicaOf(job.id)
    expect(again.points[1]).toMatchObject({ sent_bytes: 0, was_written: false })
    expect(again.points[1]!.compared_bytes).toBeGreaterThanOrEqual(32 * MiB)
    expect(again.points[1]!.disks.map(({ digest }) => digest)).toEqual(
      first.points[0]!.disks.map(({ digest }) => digest),
    )

    // One MiB changes, one is new, one becomes zeros.
    await put('hv1', (await filesOf(id))[0]!, 0x11, 8, 1)
    await put('hv1', (await filesOf(id))[1]!, 0x22, 512, 1)
    await put('hv1', (await filesOf(id))[1]!, 0, 9, 1)
    await execute(job.id)
    const { points, state } = await replicaOf(job.id)
    expect(state).toBe('completed')
    expect(points).toHaveLength(2)
    expect(points.at(-1)).toMatchObject({ sent_bytes: 3 * MiB, was_written: false, kept_by: 'last 1' })
    const status = await lab.horcrux.call(replicationJobs, 'status', { id: job.id })
    expect(status).toMatchObject({ state: 'completed', replicas: [{ vm_id: id, state: 'completed' }] })
    const overdue = () => lab.horcrux.call(replicationJobs, 'summary', {})
    expect(await overdue()).toMatchObject({ total: 1, overdue: 0 })
    // A job of a VM that has no point yet is late an hour after both were made, and one whose VM is gone at once.
    const gone = await replicate(id, { max_age_hours: 1 })
    expect(await overdue()).toMatchObject({ total: 2, overdue: 0 })
    await lab.clear()
    expect(await overdue()).toMatchObject({ overdue: 1, data: [{ job_id: gone.id, vm_id: null }] })
    expect(status.last_run).toMatchObject({ state: 'succeeded', succeeded: 1 })
  })

  test('a replica that was written to is found out, and is equal again after the run', async () => {
    const id = fresh('written')
    await lab.make(id)
    await lab.write('hv1', `${id}-disk-1.raw`, 16)
    const job = await replicate(id)
    await execute(job.id)
    const { points, id: replica } = await replicaOf(job.id)
    const { volume, digest } = points[0]!.disks[0]!
    const { path } = await lab.horcrux.call(volumes, 'get', { id: 'there', volume })
    await put('hv2', path!.split('/').at(-1)!, 0x77, 700, 2)
    await execute(job.id)
    const [healed] = (await lab.horcrux.call(replicas, 'get', { id: replica })).points
    expect(healed).toMatchObject({ was_written: true, sent_bytes: 2 * MiB })
    expect(healed!.disks[0]!.digest).toBe(digest)
    await refusal(done(lab.horcrux, volumes, 'delete', { id: 'there', volume }), ConflictError)
  })

  test('a run that is cancelled leaves no snapshot and no point, and the next one goes on from what was sent', async () => {
    const id = fresh('cut')
    await lab.make(id)
    await lab.write('hv1', `${id}-disk-0.qcow2`, 32)
    const job = await replicate(id, { bandwidth_mib: 4 })
    const ended = work(lab.horcrux, replicationJobs, 'execute', { id: job.id })
    await until(
      async () => {
        const { replicas: all } = await lab.horcrux.call(replicationJobs, 'status', { id: job.id })
        return all.some(({ state, done_bytes }) => state === 'transferring' && (done_bytes ?? 0) > 16 * MiB)
      },
      { what: 'the transfer' },
    )
    const { last_run } = await lab.horcrux.call(replicationJobs, 'get', { id: job.id })
    await refusal(lab.horcrux.call(replicationJobs, 'execute', { id: job.id }), ConflictError)
    await lab.horcrux.call(operations, 'cancel', { id: last_run!.operation_id })
    expect((await ended).state).toBe('cancelled')
    expect(await replicaOf(job.id)).toMatchObject({ state: 'failed', points: [] })
    expect(await snapshotsOf(id)).toBe(0)
    await lab.horcrux.call(replicationJobs, 'update', { id: job.id, bandwidth_mib: null })
    await execute(job.id)
    const [point] = (await replicaOf(job.id)).points
    expect(dataOf(point!)).toBe(32 * MiB)
    expect(point!.sent_bytes).toBeLessThan(32 * MiB)
  })

  test('a copy of a replica starts without a network and goes; the replica takes over and gives back what changed', async () => {
    const id = fresh('site')
    await lab.make(id, { firmware: 'uefi', tags: ['prod'] })
    await lab.write('hv1', `${id}-disk-0.qcow2`, 16)
    const job = await replicate(id)
    await execute(job.id)
    const replica = (await replicaOf(job.id)).id
    const digestOf = async () => (await lab.horcrux.call(replicas, 'get', { id: replica })).points.at(-1)!.disks
    const before = await digestOf()

    const tested = (await done(lab.horcrux, replicas, 'test', {
      id: replica,
      check: { kind: 'running', seconds: 1 },
    })) as Replica
    expect(tested.test).toMatchObject({ ok: true })
    expect(await lab.domains('hv2')).toEqual([])
    expect(await digestOf()).toEqual(before)

    await done(lab.horcrux, vms, 'start', { id })
    await refusal(lab.horcrux.call(replicas, 'failover', { id: replica }), ConflictError)
    await done(lab.horcrux, vms, 'stop', { id, force: true })
    const other = fresh('other')
    const made = (await done(lab.horcrux, replicas, 'failover', { id: replica, vm_id: other })) as Vm
    expect(made).toMatchObject({ id: other, node: 'hv2', status: 'running', firmware: 'uefi', tags: ['prod'] })
    // Nothing is sent into a replica that has taken over, and it is not deleted under its VM.
    expect((await execute(job.id)).outcomes).toMatchObject([{ state: 'skipped' }])
    await refusal(done(lab.horcrux, replicas, 'delete', { id: replica }), ConflictError)
    await refusal(lab.horcrux.call(replicas, 'failback', { id: replica }), ConflictError)
    // The source has lent its MAC addresses: it does not start beside the other.
    expect(made.nics.map(({ mac }) => mac)).toEqual((await lab.vm(id)).nics.map(({ mac }) => mac))
    await refusal(lab.horcrux.call(vms, 'start', { id }), ConflictError)

    await done(lab.horcrux, vms, 'stop', { id: other, force: true })
    await put('hv2', (await filesOf(other))[0]!, 0x33, 300, 1)
    const back = (await done(lab.horcrux, replicas, 'failback', { id: replica, start: false })) as Vm
    expect(back).toMatchObject({ id, node: 'hv1', status: 'stopped' })
    const [disk] = await filesOf(id)
    expect(await imagesOn('hv1').holds(disk!, 0x33, 300, 1)).toBe(true)
    expect(await imagesOn('hv1').holds(disk!, 0x5a, 8, 16)).toBe(true)
    expect(await lab.domains('hv2')).toEqual([])
    expect((await lab.horcrux.call(replicas, 'get', { id: replica })).failover).toBeNull()

    // Its replication goes on at once, and the source when it starts.
    const newest = async () => (await lab.horcrux.call(replicas, 'get', { id: replica })).points.at(-1)!
    await execute(job.id)
    const atOnce = await newest()
    expect(atOnce).toMatchObject({ vm_status: 'stopped', was_written: false })
    expect(atOnce.sent_bytes).toBeGreaterThanOrEqual(MiB)
    await done(lab.horcrux, vms, 'start', { id })
    await execute(job.id)
    expect(await newest()).toMatchObject({ vm_status: 'running', was_written: false })
  })
})

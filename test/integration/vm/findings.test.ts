import mongoose from 'mongoose'
import { v7 } from 'uuid'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { asService } from '#shared/access/access.ts'
import { nodes } from '#shared/contracts/cluster/nodes.ts'
import { pools } from '#shared/contracts/storage/pools.ts'
import { volumes } from '#shared/contracts/storage/volumes.ts'
import { volumesInternal } from '#shared/contracts/storage/volumes-internal.ts'
import { findings } from '#shared/contracts/vm/findings.ts'
import { vms } from '#shared/contracts/vm/vms.ts'
import { asideOf, beginAside } from '#shared/nodes/host/made-files.ts'
import { within } from '#shared/runtime/request-context.ts'
import { clusterService } from '../../../services/cluster/service.ts'
import { storageService } from '../../../services/storage/service.ts'
import { createSeed } from '../../../services/vm/cloudinit/seed.ts'
import { drivers } from '../../../services/vm/drivers/drivers.ts'
import { sweep } from '../../../services/vm/findings/sweep.ts'
import { vmService } from '../../../services/vm/service.ts'
import { asNode } from '../../lab/faults/scenarios.ts'
import { imagesOf } from '../../lab/guests/disks.ts'
import { plainRecord } from '../../lab/guests/plain-guest.ts'
import { labHosts } from '../../lab/hosts/lab.ts'
import { startHorcrux, type TestHorcrux } from '../../lab/product/horcrux.ts'
import { done, work } from '../../lab/product/run-operation.ts'

const GiB = 2 ** 30
const [host] = labHosts
const images = imagesOf(host!)
let horcrux: TestHorcrux

beforeAll(async () => {
  horcrux = await startHorcrux({ services: [clusterService, storageService, vmService] })
  await done(horcrux, nodes, 'register', asNode('hv1', host!))
  await horcrux.call(pools, 'create', { id: 'images', type: 'dir', node: 'hv1', path: '/var/lib/libvirt/images/pool' })
})
afterAll(() => horcrux.stop())

const operationsStored = () => mongoose.connection.collection<{ _id: string }>('operations')
/** An operation that a process works on, as far as effects look at it. */
async function begun(): Promise<string> {
  const id = v7()
  const lease = { holder: 'of the test', until: '2999-01-01T00:00:00.000Z' }
  const entry = { _id: id, kind: 'vms.create', service: 'vms', state: 'running', epoch: 1, ended_at: null, lease }
  await operationsStored().insertOne({ ...entry, created_at: new Date().toISOString(), version: 1 } as never)
  return id
}
const end = (id: string, state: string) =>
  operationsStored().updateOne({ _id: id }, { $set: { state, lease: null, ended_at: new Date().toISOString() } })

/** Work of the vm service, in a run of an operation. */
const asRun = <T>(operation: string | undefined, work: () => Promise<T>): Promise<T> =>
  within(
    {
      broker: horcrux.broker,
      service: 'vms',
      caller: asService('vms'),
      requestId: 'findings-test',
      ...(operation !== undefined && { fence: { operation, epoch: 1 } }),
    },
    work,
  )

const guest = (id: string) => ({ ...plainRecord, id, name: id, node: 'hv1', handle: drivers.qemu.naming.handleOf(id) })
const define = (id: string, operation: string) => asRun(operation, () => drivers.qemu.define(guest(id)))
const volumeFor = (owner: string, operation: string) =>
  horcrux.call(
    volumesInternal,
    'createFor',
    { id: 'images', name: `${owner}-disk-0`, size: GiB, owner: `/api/vms/${owner}`, node: 'hv1' },
    { meta: { caller: asService('vms'), fence: { operation, epoch: 1 } } },
  )
/** The findings, but those of this machine itself, whose libvirt other tests and people use. */
const found = async () => (await horcrux.call(findings, 'list', {})).data.filter(({ node }) => node !== 'local')
const domains = async () => (await images.host.runChecked('virsh', ['list', '--all', '--name'])).stdout.split('\n')

test('what undone operations have left is found and removed; all else whose VM is gone is reported and stays', async () => {
  const here = { id: 'here', name: 'here', memory: 128, cpus: 1, node: 'hv1', disks: [{ pool: 'images', size: GiB }] }
  await done(horcrux, vms, 'create', here)
  const [undone, kept, active] = [await begun(), await begun(), await begun()]
  for (const [id, operation] of [
    ['ghost', undone],
    ['kept', kept],
    ['coming', active],
  ] as const) {
    await define(id, operation)
    await volumeFor(id, operation)
  }
  const path = images.pathOf('cut.qcow2')
  const asides = { undone: asideOf(path, undone), active: asideOf(path, active), unknown: asideOf(path, v7()) }
  for (const aside of Object.values(asides)) await beginAside(images.host, aside)
  const seed = await asRun(kept, () =>
    createSeed({ id: 'ghost', node: 'hv1' }, { metaData: {}, userData: {}, networkConfig: {} }),
  )
  await end(undone, 'failed')
  await end(kept, 'succeeded')

  const name = (aside: string) => `images/${aside.slice(aside.lastIndexOf('/') + 1)}`
  const all = await found()
  expect(all.map(({ kind, name, action }) => `${action} ${kind} ${name}`).toSorted()).toEqual(
    [
      'remove guest ghost',
      'remove volume images/ghost-disk-0',
      `remove file ${name(asides.undone)}`,
      'report guest kept',
      'report volume images/kept-disk-0',
      `report file ${name(asides.unknown)}`,
      `report file ${seed}`,
    ].toSorted(),
  )
  const volume = all.find(({ name }) => name === 'images/ghost-disk-0')
  expect(volume).toMatchObject({ owner: '/api/vms/ghost', operation_id: undone, operation_state: 'failed' })
  expect(new Set(all.map(({ id }) => id)).size).toBe(all.length)
  const short = (await horcrux.call(findings, 'list', { fields: 'action' })).data
  expect(Object.keys(short[0]!)).toEqual(['id', 'action'])

  const removed = await asRun(undefined, sweep)
  expect(removed.map(({ name }) => name).toSorted()).toEqual(
    ['ghost', 'images/ghost-disk-0', name(asides.undone)].toSorted(),
  )
  expect(await asRun(undefined, sweep)).toEqual([])
  expect((await found()).map(({ action }) => action)).toEqual(['report', 'report', 'report', 'report'])
  const files = await images.files()
  for (const gone of ['ghost-disk-0.qcow2', asides.undone])
    expect(files).not.toContain(gone.slice(gone.lastIndexOf('/') + 1))
  expect(files).toEqual(expect.arrayContaining(['here-disk-0.qcow2', 'kept-disk-0.qcow2', 'coming-disk-0.qcow2']))
  expect(await domains()).toEqual(expect.arrayContaining(['here', 'kept', 'coming']))
  expect(await domains()).not.toContain('ghost')

  await end(active, 'cancelled')
  expect((await asRun(undefined, sweep)).map(({ name }) => name)).toContain('coming')
  for (const aside of [asides.unknown, seed]) await images.host.remove(aside)
})

test('the API deletes a volume whose owner does not exist, and none of one that does', async () => {
  const remove = (volume: string) => work(horcrux, volumes, 'delete', { id: 'images', volume })
  await expect(remove('here-disk-0')).rejects.toThrow('belongs to /api/vms/here')
  expect((await remove('kept-disk-0')).state).toBe('succeeded')
  expect(await images.files()).not.toContain('kept-disk-0.qcow2')
  await done(horcrux, vms, 'adopt', { node: 'hv1', domain: 'kept', id: 'kept' })
  for (const id of ['kept', 'here']) await done(horcrux, vms, 'delete', { id, purge: true })
  expect(await found()).toEqual([])
})

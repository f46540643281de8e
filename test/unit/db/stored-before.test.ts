import mongoose from 'mongoose'
import { engineKinds } from '#shared/nodes/engines.ts'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startTestStore, type TestStore } from '@horcrux/embedded-store/test-store'
import { setConfig } from '#shared/config/config.ts'
import { createIndexes } from '#shared/db/model.ts'
import { nodeRecords } from '../../../services/cluster/nodes/model.ts'
import { viewOf } from '../../../services/cluster/nodes/view.ts'
import { poolRecords, volumeRecords } from '../../../services/storage/models.ts'
import { viewOf as vmView, vmRecords } from '../../../services/vm/model.ts'
import { plainRecord } from '../../lab/guests/plain-guest.ts'

let lab: TestStore
beforeAll(async () => {
  lab = await startTestStore()
  setConfig({ dataDir: '/nonexistent', logLevel: 'silent' })
  await mongoose.connect(lab.url('stored-before'))
})
afterAll(async () => {
  await mongoose.disconnect()
  await lab.stop()
})

const at = '2026-01-01T00:00:00.000Z'

/** A node as the version before engines stored it. */
const nodeOfBefore = {
  _id: 'hv1',
  name: 'hv1',
  kind: 'ssh',
  address: '10.0.0.1',
  ssh_port: 22,
  ssh_user: 'root',
  host_key: 'SHA256:key',
  sealed_key: 'sealed',
  libvirt_uri: 'qemu+unix:///system?socket=/run/other.sock',
  allowed_paths: ['/var/lib/horcrux'],
  state_dir: '/var/lib/horcrux',
  engine_sockets: { incus: '/run/own.socket' },
  status: 'online',
  status_reason: null,
  hypervisor_status: 'online',
  hypervisor_reason: null,
  maintenance: true,
  facts: { hostname: 'one', accel: 'kvm', libvirt_version: '9.0.0', qemu_version: '7.2.0' },
  created_at: at,
  updated_at: at,
  version: 7,
}

const { handle, boot_id: _, id: _id, ...recordOfBefore } = plainRecord
const vmOfBefore = (id: string, domain_uuid: string) => ({
  ...recordOfBefore,
  _id: id,
  name: id,
  domain_uuid,
  run: '12',
  version: 3,
})

test('records of an earlier version are found in the form of today, however often they are migrated', async () => {
  await nodeRecords.model.collection.insertOne(nodeOfBefore as never)
  const stored = vmRecords.model.collection
  await stored.createIndex({ domain_uuid: 1 }, { unique: true })
  await stored.insertMany([vmOfBefore('web', handle), vmOfBefore('db', 'another')] as never)

  await createIndexes()
  await createIndexes()

  const vm = await vmRecords.require('web')
  expect(vm).toMatchObject({ id: 'web', handle, boot_id: '12', version: 3 })
  expect(Object.keys(vm).filter((key) => ['domain_uuid', 'run'].includes(key))).toEqual([])
  // The unique index of the old field would take two records without it for the same.
  for (const id of ['new-1', 'new-2']) await vmRecords.insert({ ...plainRecord, id, name: id, handle: id })
  await expect(vmRecords.insert({ ...plainRecord, id: 'twin', name: 'twin', handle })).rejects.toThrow('already exists')

  const node = await nodeRecords.require('hv1')
  expect(node).toMatchObject({
    engine_config: { libvirt: { uri: nodeOfBefore.libvirt_uri }, incus: { socket: '/run/own.socket' } },
    facts: { hostname: 'one', accel: 'kvm' },
    maintenance: true,
    version: 7,
  })
  expect(node.engines.map(({ status }) => status)).toEqual(engineKinds.map(() => 'unknown'))
  const older = ['libvirt_uri', 'engine_sockets', 'hypervisor_status', 'hypervisor_reason']
  expect(Object.keys(node).filter((key) => older.includes(key))).toEqual([])
  expect(viewOf(node)).toMatchObject({
    libvirt_uri: nodeOfBefore.libvirt_uri,
    engine_sockets: nodeOfBefore.engine_sockets,
    hypervisor_status: 'unknown',
  })
  expect(await nodeRecords.updateWhere({ _id: 'hv1' }, { set: { maintenance: false } })).toMatchObject({ version: 8 })
})

test('storage pools, volumes and disks of an earlier version are found in the form of today', async () => {
  const times = { created_at: at, updated_at: at }
  const pool = { type: 'dir', node: 'hv1', path: '/pools/a', state: 'active', ...times, version: 2 }
  const storedPools = poolRecords.model.collection
  await storedPools.createIndex({ node: 1, path: 1 }, { unique: true })
  await storedPools.insertOne({ _id: 'a', name: 'a', ...pool } as never)
  const volume = { pool: 'a', name: 'v', node: 'hv1', path: '/pools/a/v.raw', format: 'raw', size_bytes: 1, ...times }
  await volumeRecords.model.collection.insertOne({
    _id: 'a/v',
    ...volume,
    used_by: null,
    backing: null,
    version: 3,
  } as never)
  const disk = (id: string, path: string) => ({ id, pool: null, volume: null, path, format: 'raw', size_bytes: 1 })
  const nic = { mac: '52:54:00:00:00:01', network: 'default', bridge: null, model: 'virtio' }
  const [file, block] = [disk('vda', '/pools/a/v.raw'), disk('vdb', '/dev/vg/lv')]
  const pending = [
    { field: 'memory', current: 512, next: 1024 },
    { field: 'disks', current: [file], next: [file, block] },
    { field: 'nics', current: [], next: [nic] },
  ]
  const vm = {
    ...recordOfBefore,
    _id: 'old',
    name: 'old',
    handle: 'old',
    disks: [file, block],
    nics: [nic],
    pending,
    version: 5,
  }
  await vmRecords.model.collection.insertOne(vm as never)

  await createIndexes()
  await createIndexes()

  expect(await poolRecords.require('a')).toEqual({
    id: 'a',
    name: 'a',
    type: 'dir',
    config: { node: 'hv1', path: '/pools/a' },
    nodes: ['hv1'],
    place: 'hv1:/pools/a',
    state: 'active',
    ...times,
    version: 2,
  })
  expect(await poolRecords.all({ nodes: { $in: ['hv1', null] } })).toHaveLength(1)
  // The unique index of the old fields would take two storage pools without them for the same.
  const like = {
    type: 'dir' as const,
    config: { node: 'hv1', path: '/b' },
    nodes: null,
    state: 'active' as const,
    ...times,
  }
  for (const id of ['b', 'c']) await poolRecords.insert({ ...like, id, name: id, place: id })
  await expect(poolRecords.insert({ ...like, id: 'd', name: 'd', place: 'b' })).rejects.toThrow('already exists')
  expect(await poolRecords.all({ nodes: { $in: ['hv9', null] } })).toHaveLength(2)

  const stored = await volumeRecords.require('a/v')
  expect(Object.keys(stored).filter((key) => ['path', 'node', 'source'].includes(key))).toEqual([])
  expect(stored).toMatchObject({ id: 'a/v', size_bytes: 1, version: 3 })

  const found = await vmRecords.require('old')
  expect(found.disks.map(({ source }) => source)).toEqual([
    { type: 'file', path: '/pools/a/v.raw' },
    { type: 'block', path: '/dev/vg/lv' },
  ])
  expect(found.disks.some((each) => 'path' in each)).toBe(false)
  expect(await vmRecords.find({ 'disks.source.path': '/dev/vg/lv' })).toMatchObject({ id: 'old', version: 5 })
  const shown = vmView(found)
  expect(shown.disks.map(({ path }) => path)).toEqual(['/pools/a/v.raw', '/dev/vg/lv'])
  expect(shown.pending[0]).toEqual(pending[0])
  expect(shown.pending[1]).toMatchObject({ current: [file], next: [file, block] })
  // Each device has an id of its own, which is the same wherever the record names the device.
  const [first, second] = shown.disks.map(({ device_id }) => device_id)
  expect(new Set([first, second, shown.nics[0]!.device_id]).size).toBe(3)
  expect(shown.pending[1]).toMatchObject({
    current: [{ device_id: first }],
    next: [{ device_id: first }, { device_id: second }],
  })
  expect(shown.pending[2]).toMatchObject({ current: [], next: shown.nics })
})

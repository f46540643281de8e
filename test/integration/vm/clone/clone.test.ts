import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { cloneJobs } from '#shared/contracts/vm/clone-jobs.ts'
import { cloudinit } from '#shared/contracts/vm/cloudinit.ts'
import { operations } from '#shared/contracts/core/operations.ts'
import { resourcePools } from '#shared/contracts/access/resource-pools.ts'
import { type Vm, vms } from '#shared/contracts/vm/vms.ts'
import { ConflictError, NotFoundError } from '#shared/errors.ts'
import { type CloneLab, refusal, startCloneLab, wrongFields } from '../../../lab/guests/clones.ts'
import { until } from '../../../lab/wait.ts'
import { done, work } from '../../../lab/product/run-operation.ts'

let lab: CloneLab
beforeAll(async () => {
  lab = await startCloneLab()
})
afterAll(() => lab?.stop())
afterEach(() => lab.clear())

const call = (params: object) => lab.horcrux.call(vms, 'clone', { mode: 'full', ...params })

test('a full clone has the data of all disks, and nothing in common with its source', async () => {
  const { images } = lab
  const source = await lab.makeSource('web', { nics: [{ bridge: 'lan' }, { bridge: 'br0' }], tags: ['prod'] })
  const clone = await lab.clone('web', 'copy', { description: 'a copy' })
  expect(clone).toMatchObject({
    ...source,
    id: 'copy',
    name: 'copy',
    description: 'a copy',
    disks: source.disks.map(({ device_id: _, ...disk }) => ({
      ...disk,
      volume: disk.volume!.replace('web', 'copy'),
      source: { type: 'file', path: disk.path!.replace('web', 'copy') },
      path: disk.path!.replace('web', 'copy'),
    })),
    nics: source.nics.map(({ device_id: _, ...nic }) => ({
      ...nic,
      mac: expect.stringMatching(/^52:54:00(:[0-9a-f]{2}){3}$/),
    })),
    created_at: clone.created_at,
    updated_at: clone.updated_at,
    version: 1,
  })
  expect(new Set([...source.nics, ...clone.nics].map(({ mac }) => mac)).size).toBe(4)
  const devices = [source, clone].flatMap(({ disks, nics }) => [...disks, ...nics])
  expect(new Set(devices.map(({ device_id }) => device_id)).size).toBe(devices.length)
  expect(await images.areEqual('web-disk-0.qcow2', 'copy-disk-0.qcow2')).toBe(true)
  expect(await images.areEqual('web-disk-1.raw', 'copy-disk-1.raw')).toBe(true)
  expect(await images.holds('copy-disk-1.raw', 0xb2, 100, 16)).toBe(true)
  expect(await images.info('copy-disk-0.qcow2')).not.toHaveProperty('backing-filename')
  // A gibibyte that is mostly empty stays sparse.
  expect((await images.info('copy-disk-1.raw'))['actual-size']).toBeLessThan(32 * 2 ** 20)

  await images.write('copy-disk-0.qcow2', 0xcc, 4, 1)
  await images.write('web-disk-1.raw', 0xdd, 101, 1)
  expect(await images.holds('web-disk-0.qcow2', 0xa1, 0, 16)).toBe(true)
  expect(await images.holds('copy-disk-1.raw', 0xb2, 100, 16)).toBe(true)
  await done(lab.horcrux, vms, 'delete', { id: 'web', purge: true })
  expect(await images.holds('copy-disk-1.raw', 0xb2, 100, 16)).toBe(true)
})

test('the stages of a clone, its bytes and its times are in its job', async () => {
  await lab.makeSource('web', { nics: [{ bridge: 'lan' }] })
  const network_config = { ip_addresses: ['10.1.2.3/24'] }
  const ended = await work(lab.horcrux, vms, 'clone', {
    vm: 'web',
    id: 'copy',
    name: 'copy',
    mode: 'full',
    network_config,
  })
  expect(ended.steps.map(({ name }) => name)).toEqual([
    'preparing',
    'cloning_disk vda',
    'cloning_disk vdb',
    'generating_macs',
    'configuring_network',
    'creating_cloud_init',
    'finalizing domain',
    'finalizing record',
  ])
  const job = await lab.jobOf(ended)
  expect(job).toMatchObject({
    source_vm_id: 'web',
    target_vm_id: 'copy',
    mode: 'full',
    status: 'succeeded',
    stage: 'finalizing',
    progress_percent: 100,
    bytes_copied: job.total_bytes,
    remaining_seconds: 0,
    error: null,
  })
  expect(job.elapsed_seconds).toBeGreaterThan(0)
  // Both disks have 16 MiB of data; qemu-img writes the first block of a raw image that it makes.
  expect(job.total_bytes - 32 * 2 ** 20).toBeOneOf([0, 65_536])
})

test('addresses that are given are the clone’s; the seed names it anew', async () => {
  await lab.makeSource('web', { nics: [{ bridge: 'lan' }, { bridge: 'dmz' }] })
  const macs = ['52:54:00:00:00:0a', '52:54:00:00:00:0b']
  const clone = await lab.clone('web', 'copy', {
    mac_addresses: macs,
    network_config: {
      hostname: 'copy-1',
      domain: 'example.org',
      ip_addresses: ['10.1.2.3/24', 'dhcp'],
      gateway: '10.1.2.1',
      dns_servers: ['10.1.2.2'],
    },
  })
  expect(clone.nics.map(({ mac }) => mac)).toEqual(macs)
  const isoinfo = async (...words: string[]) =>
    (await lab.images.host.runChecked('isoinfo', ['-i', clone.seed!, ...words])).stdout
  expect(await isoinfo('-d')).toMatch(/^Volume id: cidata$/m)
  expect(await isoinfo('-J', '-x', '/meta-data')).toBe('instance-id: "copy"\nlocal-hostname: "copy-1"\n')
  expect(await isoinfo('-J', '-x', '/user-data')).toBe(
    '#cloud-config\nhostname: "copy-1"\npreserve_hostname: false\nfqdn: "copy-1.example.org"\n',
  )
  expect(await isoinfo('-J', '-x', '/network-config')).toBe(`version: 2
ethernets:
  eth0:
    match:
      macaddress: "52:54:00:00:00:0a"
    set-name: "eth0"
    dhcp4: false
    addresses:
      - "10.1.2.3/24"
    routes:
      - to: "0.0.0.0/0"
        via: "10.1.2.1"
    nameservers:
      addresses:
        - "10.1.2.2"
      search:
        - "example.org"
  eth1:
    match:
      macaddress: "52:54:00:00:00:0b"
    set-name: "eth1"
    dhcp4: true
`)
  const seed = clone.seed!
  expect(await lab.horcrux.call(cloudinit, 'get', { id: 'copy' })).toMatchObject({
    hostname: 'copy-1',
    fqdn: 'copy-1.example.org',
    network: { ethernets: { eth0: { addresses: ['10.1.2.3/24'], gateway: '10.1.2.1' }, eth1: { dhcp4: true } } },
  })
  // A clone of the clone is another guest: it has not the seed of this one.
  expect((await lab.clone('copy', 'again')).seed).toBeNull()
  expect(await done(lab.horcrux, cloudinit, 'remove', { id: 'copy' })).toMatchObject({ seed: null })
  expect(await lab.images.host.stat(seed)).toBeNull()
  await done(lab.horcrux, vms, 'delete', { id: 'copy', purge: true })
})

test('while it is copied a guest can be cloned again, and not be started, changed or deleted', async () => {
  await lab.makeSource('web')
  await lab.images.write('web-disk-1.raw', 0xb2, 0, 1000)
  const atFullSpeed = await lab.images.slowDown('copy-2-disk-1')
  const copies = ['copy-1', 'copy-2'].map((id) =>
    work(lab.horcrux, vms, 'clone', { vm: 'web', id, name: id, mode: 'full' }),
  )
  const jobs = () => lab.horcrux.call(cloneJobs, 'list', { filter: 'source_vm_id:web,status:running' })
  await until(async () => (await jobs()).data.filter(({ stage }) => stage === 'cloning_disk').length === 2)
  const held = await refusal(lab.horcrux.call(vms, 'start', { id: 'web' }), ConflictError)
  expect(held.details).toMatchObject({ path: '/api/vms/web', reason: 'vms.clone' })
  await refusal(lab.horcrux.call(vms, 'update', { id: 'web', memory: 256 }), ConflictError)
  await refusal(lab.horcrux.call(vms, 'delete', { id: 'web' }), ConflictError)
  await atFullSpeed()
  expect((await Promise.all(copies)).map(({ state }) => state)).toEqual(['succeeded', 'succeeded'])
  await done(lab.horcrux, vms, 'start', { id: 'web' })
})

test('a clone cancelled during a big copy ends qemu-img and leaves nothing', async () => {
  const { horcrux, images } = lab
  await lab.makeSource('web')
  await images.write('web-disk-1.raw', 0xb2, 0, 1000)
  const before = await lab.world()
  const atFullSpeed = await images.slowDown('copy-disk-1')
  const { id } = (await call({ vm: 'web', id: 'copy', name: 'copy' })) as unknown as { id: string }
  const copied = async () => (await lab.jobOf({ id })).bytes_copied
  await until(async () => (await copied()) > 20 * 2 ** 20, { what: 'a copy under way' })
  expect(await lab.jobOf({ id })).toMatchObject({ stage: 'cloning_disk', total_bytes: 1016 * 2 ** 20 })
  expect(await images.processes('qemu-img.*copy-disk-1')).not.toEqual([])
  await horcrux.call(cloneJobs, 'cancel', { id })
  await until(async () => (await images.processes('qemu-img.*copy-disk-1')).length === 0)
  await atFullSpeed()
  const ended = await horcrux.call(operations, 'wait', { id, timeout: 60 }, { timeoutMs: 65_000 })
  expect(ended.state).toBe('cancelled')
  expect(await lab.world()).toEqual(before)
  expect((await lab.leftovers()).locks).toBe(0)
  await done(horcrux, vms, 'start', { id: 'web' })
})

test('fifty clones with the same id have one winner', async () => {
  await lab.makeSource('web')
  const tries = await Promise.allSettled(Array.from({ length: 50 }, () => lab.clone('web', 'one')))
  const lost = tries.filter((result) => result.status === 'rejected').map(({ reason }) => reason as Error)
  expect(lost).toHaveLength(49)
  for (const error of lost) expect(error).toBeInstanceOf(ConflictError)
  const all = (await lab.horcrux.call(vms, 'list', {})).data as Vm[]
  expect(all.map(({ id }) => id)).toEqual(['one', 'web'])
  expect(await lab.images.areEqual('web-disk-0.qcow2', 'one-disk-0.qcow2')).toBe(true)
})

test('all mistakes in a clone request are reported in one answer', async () => {
  await lab.makeSource('web', { nics: [{ bridge: 'lan', mac: '52:54:00:00:00:01' }] })
  const wrong = {
    vm: 'web',
    name: 'under_score',
    mode: undefined,
    preset: 'none',
    pool: 'nowhere',
    mac_addresses: ['52:54:00:00:00:01', '52:54:00:00:00:02'],
    network_config: { ip_addresses: ['10.0.0.300/24', 'dhcp'], gateway: '10.1', dns_servers: ['here'] },
  }
  expect(await wrongFields(call(wrong))).toEqual([
    'mac_addresses',
    'mac_addresses.0',
    'mode',
    'network_config.dns_servers.0',
    'network_config.gateway',
    'network_config.hostname',
    'network_config.ip_addresses',
    'network_config.ip_addresses.0',
    'pool',
    'preset',
  ])
  expect(
    await wrongFields(call({ vm: 'web', name: 'a b', mode: 'half', mac_addresses: ['x'], cpus: 0, unknown: 1 })),
  ).toEqual(['cpus', 'mac_addresses.0', 'mode', 'name', 'unknown'])
  await refusal(call({ vm: 'nobody', name: 'copy' }), NotFoundError)
  await refusal(call({ vm: 'web', id: 'web', name: 'copy' }), ConflictError)
  await refusal(call({ vm: 'web', name: 'web' }), ConflictError)
  expect((await lab.leftovers()).locks).toBe(0)
})

test('the limits of a resource pool refuse a clone before anything is copied', async () => {
  const { horcrux } = lab
  await lab.makeSource('web')
  await horcrux.call(resourcePools, 'create', { id: 'tight', name: 'tight', limits: { memory: 100 } })
  const before = await lab.world()
  const full = await refusal(call({ vm: 'web', name: 'copy', resource_pool: 'tight' }), ConflictError)
  expect(full.message).toContain('128 MiB memory wanted, 0 of 100 used')
  expect(await wrongFields(call({ vm: 'web', name: 'copy', resource_pool: 'none' }))).toEqual(['resource_pool'])
  expect(await lab.world()).toEqual(before)
  expect((await lab.leftovers()).locks).toBe(0)
  await horcrux.call(resourcePools, 'delete', { id: 'tight' })
})

test("a clone that its host refuses is undone completely, and gives the host's reason", async () => {
  const { horcrux } = lab
  await lab.makeSource('web')
  const before = await lab.world()
  const job = await work(horcrux, vms, 'clone', {
    vm: 'web',
    id: 'copy',
    name: 'copy',
    mode: 'full',
    cpus: 2,
    start: true,
    memory: 896_000,
  })
  expect(job.state).toBe('failed')
  expect(job.error?.message).toMatch(/memory/i)
  expect(await lab.world()).toEqual(before)
  expect((await lab.leftovers()).locks).toBe(0)
})

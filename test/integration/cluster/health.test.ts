import { randomBytes } from 'node:crypto'
import { rename } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, inject, test } from 'vitest'
import { nodes } from '#shared/contracts/cluster/nodes.ts'
import { containers } from '#shared/contracts/container/containers.ts'
import { pools } from '#shared/contracts/storage/pools.ts'
import { vms } from '#shared/contracts/vm/vms.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { registerLocal } from '../../../services/cluster/nodes/local.ts'
import { clusterService } from '../../../services/cluster/service.ts'
import { containerService } from '../../../services/container/service.ts'
import { storageService } from '../../../services/storage/service.ts'
import { vmService } from '../../../services/vm/service.ts'
import { asNode } from '../../lab/faults/scenarios.ts'
import type { LabHost } from '../../lab/hosts/hosts.ts'
import { labHosts } from '../../lab/hosts/lab.ts'
import { secondSshd } from '../../lab/hosts/second-sshd.ts'
import { startHorcrux, type TestHorcrux } from '../../lab/product/horcrux.ts'
import { done } from '../../lab/product/run-operation.ts'
import { until } from '../../lab/wait.ts'

const [first, second] = labHosts as [LabHost, LabHost]
let horcrux: TestHorcrux
const health = (id: string) => horcrux.call(nodes, 'health', { id })
const fresh = () => randomBytes(4).toString('hex')

beforeAll(async () => {
  horcrux = await startHorcrux({ services: [clusterService, storageService, vmService, containerService] })
  await done(horcrux, nodes, 'register', asNode('hv1', first))
  await done(horcrux, nodes, 'register', asNode('hv2', second))
})
afterAll(() => horcrux.stop())

test('each channel to a node has its status, its reason and the age of its check', async () => {
  const folder = `pool-${fresh()}`
  const id = `p-${fresh()}`
  await horcrux.call(pools, 'create', { id, type: 'dir', node: 'hv1', path: `/var/lib/libvirt/images/${folder}` })
  const { status, channels } = await health('hv1')
  expect(channels).toContainEqual(
    expect.objectContaining({ channel: 'storage', subject: id, status: 'ok', checked_at: expect.any(String) }),
  )
  for (const { channel, subject, status: state, since, age_seconds } of channels) {
    expect({ channel, subject, since, age_seconds }).toMatchObject({
      since: expect.any(String),
      age_seconds: expect.any(Number),
    })
    expect(['ok', 'absent']).toContain(state)
  }
  expect(status).toBe('ok')

  try {
    // The folder of the storage pool is away.
    await rename(join(first.dir, folder), join(first.dir, `${folder}-away`))
    const sick = await health('hv1')
    expect(sick.status).toBe('warning')
    expect(sick.channels.find(({ subject }) => subject === id)).toMatchObject({
      channel: 'storage',
      status: 'failed',
      reason: expect.stringContaining(folder),
    })
    // The other node does not reach it, and has no channel to it.
    expect((await health('hv2')).channels.filter(({ channel }) => channel === 'storage')).toEqual([])
  } finally {
    await rename(join(first.dir, `${folder}-away`), join(first.dir, folder))
    await until(async () => (await health('hv1')).status === 'ok', { what: 'the storage pool being back' })
    await horcrux.call(pools, 'delete', { id })
  }
})

test('a changed host key is shown beside the pinned one, and is pinned only when it is the one that was compared', async () => {
  const id = `moved-${fresh()}`
  const sshd = await secondSshd(second, 2222, join(inject('run').dir, id))
  const before = await sshd.start()
  let after = before
  try {
    await done(horcrux, nodes, 'register', { ...asNode(id, second), ssh_port: 2222, host_key: before.fingerprint })
    await before.stop()
    after = await sshd.start()
    const changed = { pinned: before.fingerprint, shown: after.fingerprint }
    const hostOf = async () => (await health(id)).channels.find(({ channel }) => channel === 'host')
    await until(async () => (await hostOf())?.changed_host_key !== null, { what: 'the changed key being seen' })
    expect(await hostOf()).toMatchObject({ status: 'failed', changed_host_key: changed })
    expect(await horcrux.call(nodes, 'get', { id })).toMatchObject({ status: 'offline', host_key: before.fingerprint })

    // A key that the host does not show is refused, with those that it has.
    await expect(horcrux.call(nodes, 'pinHostKey', { id, host_key: before.fingerprint })).rejects.toMatchObject({
      status: 409,
      details: { ...changed, given: before.fingerprint },
    })
    const pinned = await horcrux.call(nodes, 'pinHostKey', { id, host_key: after.fingerprint })
    expect(pinned).toMatchObject({ status: 'online', host_key: after.fingerprint })
    await until(async () => (await hostOf())?.status === 'ok', { what: 'the host being reached again' })
    await horcrux.call(nodes, 'remove', { id })
  } finally {
    await after.stop()
  }
})

test('the CPU that nodes have in common is the baseline of libvirt', async () => {
  const { baselines, unknown } = await horcrux.call(nodes, 'cpuBaseline', {})
  const baseline = baselines.find((each) => each.nodes.some(({ id }) => id === 'hv2'))!
  expect(baseline.nodes.map(({ id }) => id)).toEqual(expect.arrayContaining(['hv1', 'hv2']))
  expect(unknown.map(({ id }) => id)).not.toContain('hv1')
  const virsh = (...words: string[]) => localHost().runChecked('virsh', ['-q', '-c', first.uri, ...words])
  const capabilities = join(inject('run').dir, `capabilities-${fresh()}.xml`)
  const virtType = ['--virttype', 'qemu']
  await localHost().writeFile(capabilities, (await virsh('domcapabilities', ...virtType)).stdout)
  const options = ['--features', '--migratable', ...virtType]
  const { stdout } = await virsh('hypervisor-cpu-baseline', capabilities, ...options)
  const names = [...stdout.matchAll(/<feature policy='require' name='([^']+)'/g)].map(([, name]) => name)
  expect(names.length).toBeGreaterThan(10)
  expect(baseline.features).toEqual(names.toSorted())
  expect(stdout).toContain(`>${baseline.model}</model>`)
})

test('a node in maintenance gets no new guests and starts none, also after Horcrux was started again', async () => {
  const [id, other] = [`vm-${fresh()}`, `vm-${fresh()}`]
  await done(horcrux, vms, 'create', { id, name: id, memory: 128, cpus: 1, node: 'hv2' })
  await horcrux.call(nodes, 'update', { id: 'hv2', maintenance: true })
  // The address of a node is remembered for two seconds.
  const refusal = () => horcrux.call(vms, 'start', { id }).then(String, String)
  await until(async () => (await refusal()).includes('in maintenance'), { what: 'the start being refused' })
  await expect(
    horcrux.call(vms, 'create', { id: other, name: other, memory: 128, cpus: 1, node: 'hv2' }),
  ).rejects.toMatchObject({ status: 422, violations: [{ field: 'node', code: 'maintenance' }] })
  expect(await health('hv2')).toMatchObject({ maintenance: true })

  await horcrux.call(nodes, 'update', { id: 'local', maintenance: true })
  const { allowed_paths, state_dir, name } = await horcrux.call(nodes, 'get', { id: 'local' })
  await registerLocal({ allowed_paths, state_dir, name })
  expect(await horcrux.call(nodes, 'get', { id: 'local' })).toMatchObject({ maintenance: true })
  await horcrux.call(nodes, 'update', { id: 'local', maintenance: false })

  await horcrux.call(nodes, 'update', { id: 'hv2', maintenance: false })
  await until(() => done(horcrux, vms, 'start', { id }), { what: 'the start being accepted' })
  await done(horcrux, vms, 'stop', { id, force: true })

  // The refusal of its removal names what is on it.
  await expect(horcrux.call(nodes, 'remove', { id: 'hv2' })).rejects.toMatchObject({
    status: 409,
    message: expect.stringContaining(`1 virtual machine (${id})`),
    details: { vms: [id], containers: [], pools: [], total: 1 },
  })
  expect((await horcrux.call(containers, 'list', { filter: 'node:hv2' })).total).toBe(0)
  await done(horcrux, vms, 'delete', { id })
})

import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, inject, test } from 'vitest'
import { nodes } from '#shared/contracts/cluster/nodes.ts'
import { pools } from '#shared/contracts/storage/pools.ts'
import { vms } from '#shared/contracts/vm/vms.ts'
import { ConflictError, UnavailableError } from '#shared/errors.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { parsePinnedKey } from '#shared/nodes/host/ssh/host-key.ts'
import { clusterService } from '../../../services/cluster/service.ts'
import { containerService } from '../../../services/container/service.ts'
import { storageService } from '../../../services/storage/service.ts'
import { vmService } from '../../../services/vm/service.ts'
import { startHorcrux, type TestHorcrux } from '../../lab/product/horcrux.ts'
import type { LabHost } from '../../lab/hosts/hosts.ts'
import { labHosts } from '../../lab/hosts/lab.ts'
import { asNode } from '../../lab/faults/scenarios.ts'
import { done } from '../../lab/product/run-operation.ts'

const [first, second] = labHosts as [LabHost, LabHost]
const fingerprintOf = ({ hostKey }: LabHost) => parsePinnedKey(hostKey).fingerprint
let horcrux: TestHorcrux

const hv = () => horcrux.call(nodes, 'get', { id: 'hv1' })
const change = (given: object) => horcrux.call(nodes, 'update', { id: 'hv1', ...given })

/** A key of its own that the lab's hosts let in while `work` runs. @param work is given the key, in OpenSSH format */
async function withAnotherKey(
  work: (privateKey: string, lockOld: () => Promise<void>) => Promise<void>,
): Promise<void> {
  const file = join(inject('run').dir, 'another-key')
  await localHost().runChecked('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', file])
  const allowed = `${first.keyFile}.pub`
  const before = await readFile(allowed, 'utf8')
  const added = await readFile(`${file}.pub`, 'utf8')
  try {
    await writeFile(allowed, before + added)
    await work(await readFile(file, 'utf8'), () => writeFile(allowed, added))
  } finally {
    await writeFile(allowed, before)
    await localHost().remove(file)
    await localHost().remove(`${file}.pub`)
  }
}

beforeAll(async () => {
  horcrux = await startHorcrux({ services: [clusterService, storageService, vmService, containerService] })
  await done(horcrux, nodes, 'register', asNode('hv1', first))
})
afterAll(() => horcrux.stop())

test('a way that leads nowhere is not taken: the node stays as it was, and is reached', async () => {
  const before = await hv()
  // Nothing listens there, another machine is there, no key, a key that nobody lets in.
  await expect(change({ ssh_port: 9 })).rejects.toThrow(UnavailableError)
  await expect(change({ address: second.address })).rejects.toThrow(/host key/i)
  await expect(change({ private_key: 'no key', name: 'renamed' })).rejects.toThrow(/key/)
  await expect(change({ ssh_user: 'nobody-at-all' })).rejects.toThrow(UnavailableError)
  expect(await hv()).toEqual(before)
  expect(
    await horcrux.call(pools, 'create', { id: 'p', type: 'dir', node: 'hv1', path: '/var/lib/libvirt/images/p' }),
  ).toMatchObject({
    id: 'p',
  })
})

test('a node whose key is replaced is reached with the new one, and the old one is not needed any more', async () => {
  await withAnotherKey(async (private_key, lockOld) => {
    const changed = await change({ private_key })
    expect(changed).toMatchObject({ status: 'online', version: expect.any(Number) })
    expect(JSON.stringify(changed)).not.toContain('PRIVATE KEY')
    await lockOld()
    // A new one is made for a pool that is not known yet, within the two seconds for which a way is remembered.
    await horcrux.call(pools, 'create', { id: 'q', type: 'dir', node: 'hv1', path: '/var/lib/libvirt/images/q' })
    await change({ private_key: first.privateKey }).then(
      () => expect.unreachable('the old key is locked'),
      (error: unknown) => expect(error).toBeInstanceOf(UnavailableError),
    )
  })
  // As the key is gone now with the others that let it in, its own comes back.
  await change({ private_key: first.privateKey })
})

test('a node that has moved to other hardware is found there, by its new host key', async () => {
  expect((await hv()).facts).toMatchObject({ hostname: 'node1' })
  const moved = await change({ address: second.address, host_key: fingerprintOf(second) })
  expect(moved).toMatchObject({ address: second.address, facts: { hostname: 'node2' }, status: 'online' })
  await change({ address: first.address, host_key: fingerprintOf(first) })
  expect((await hv()).facts).toMatchObject({ hostname: 'node1' })
})

test('how the machine itself is reached is not changed, and each mistake is named', async () => {
  await horcrux.call(nodes, 'update', { id: 'local', maintenance: false })
  const none = { address: null, ssh_port: null, ssh_user: null, host_key: null }
  expect(await horcrux.call(nodes, 'update', { id: 'local', ...none })).toMatchObject(none)
  await expect(change(none)).rejects.toMatchObject({
    status: 422,
    violations: [{ field: 'address' }, { field: 'ssh_port' }, { field: 'ssh_user' }, { field: 'host_key' }],
  })
  await expect(
    horcrux.call(nodes, 'update', {
      id: 'local',
      address: 'elsewhere',
      private_key: 'key',
      libvirt_uri: 'qemu:///session',
    }),
  ).rejects.toMatchObject({
    status: 422,
    violations: [{ field: 'address' }, { field: 'private_key' }, { field: 'libvirt_uri' }],
  })
})

test('a node that holds VMs or storage pools is not removed, and the refusal names them; an empty node is', async () => {
  await expect(horcrux.call(nodes, 'remove', { id: 'hv1' })).rejects.toThrow(ConflictError)
  for (const id of ['p', 'q']) await horcrux.call(pools, 'delete', { id })
  await horcrux.call(nodes, 'remove', { id: 'hv1' })
  await done(horcrux, nodes, 'register', asNode('hv1', first))
})

test('a node without libvirt is a node: it is online with its facts, its engines say what is not there, and why', async () => {
  const uri = 'qemu+unix:///system?socket=/run/libvirt/not-there'
  await done(horcrux, nodes, 'register', { ...asNode('hv2', second), engine_config: { libvirt: { uri } } })
  const node = await horcrux.call(nodes, 'get', { id: 'hv2' })
  expect(node).toMatchObject({
    status: 'online',
    status_reason: null,
    facts: { hostname: 'node2', libvirt_version: null, qemu_version: null },
    engine_config: { libvirt: { uri } },
    hypervisor_status: 'offline',
    libvirt_uri: uri,
  })
  const states = Object.fromEntries(node.engines.map((engine) => [engine.kind, engine]))
  expect(Object.keys(states).toSorted()).toEqual(['docker', 'incus', 'libvirt', 'lxc', 'lxd', 'podman'])
  // The tools of LXC are those of this machine.
  for (const { kind, status, version, checked_at } of Object.values(states))
    if (kind !== 'lxc')
      expect({ status, version, checked_at }).toEqual({
        status: 'absent',
        version: null,
        checked_at: expect.any(String),
      })
  expect(states['libvirt']!.reason).toBe('libvirt is not there: no socket at /run/libvirt/not-there')
  expect((await horcrux.call(vms, 'unmanaged', { id: 'hv2' })).data).toEqual([])
  const create = horcrux.call(vms, 'create', { name: 'none', memory: 128, cpus: 1, node: 'hv2' })
  await expect(create).rejects.toThrow(UnavailableError)

  // Told where its libvirt is, it has one.
  const changed = await horcrux.call(nodes, 'update', { id: 'hv2', engine_config: {} })
  expect(changed.engines.find(({ kind }) => kind === 'libvirt')).toMatchObject({
    status: 'online',
    reason: null,
    version: expect.stringMatching(/^\d+\.\d+/),
    components: { qemu: expect.stringMatching(/^\d+\.\d+/) },
  })
  expect(changed).toMatchObject({ libvirt_uri: 'qemu:///system', hypervisor_status: 'online' })
  // By its older name, too.
  expect(await horcrux.call(nodes, 'update', { id: 'hv2', libvirt_uri: uri })).toMatchObject({
    engine_config: { libvirt: { uri } },
    hypervisor_status: 'offline',
  })
  await horcrux.call(nodes, 'remove', { id: 'hv2' })
})

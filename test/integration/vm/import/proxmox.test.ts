import { randomBytes } from 'node:crypto'
import { readdir, stat, symlink, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { nodes } from '#shared/contracts/cluster/nodes.ts'
import { volumes } from '#shared/contracts/storage/volumes.ts'
import { operations } from '#shared/contracts/core/operations.ts'
import { proxmoxImports } from '#shared/contracts/vm/proxmox-imports.ts'
import type { ImportPlan } from '#shared/contracts/vm/vm-imports.ts'
import { type Vm, vms } from '#shared/contracts/vm/vms.ts'
import type { ValidationError } from '#shared/errors.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { asNode } from '../../../lab/faults/scenarios.ts'
import { startGuests } from '../../../lab/guests/guests.ts'
import { haveBridge } from '../../../lab/hosts/bridges.ts'
import { labHosts } from '../../../lab/hosts/lab.ts'
import { done, work } from '../../../lab/product/run-operation.ts'
import { type ProxmoxApi, startProxmoxApi } from '../../../lab/proxmox/api.ts'
import { asProxmoxHost, type ProxmoxHost } from '../../../lab/proxmox/host.ts'
import { until } from '../../../lab/wait.ts'

const MiB = 2 ** 20
const GiB = 2 ** 30
/** Of each disk there. */
const size = 64 * MiB
const [host, theirs] = labHosts
const local = localHost()
let lab: Awaited<ReturnType<typeof startGuests>>
let api: ProxmoxApi
let pve: ProxmoxHost
let loop: string

const image = (name: string) => join(pve.images, '100', name)

beforeAll(async () => {
  lab = await startGuests(host!)
  await done(lab.horcrux, nodes, 'register', asNode('pve', theirs!))
  await haveBridge(host!, 'lan')
  api = await startProxmoxApi(theirs!.name)
  pve = await asProxmoxHost(theirs!)
  const raw = image('vm-100-disk-0.raw')
  await writeFile(raw, randomBytes(9 * MiB))
  await truncate(raw, size - 4 * MiB)
  await writeFile(raw, randomBytes(4 * MiB), { flag: 'a' })
  // The disk of a linked clone: a qcow2 image over the image of its template.
  const [base, clone] = [image('base-100-disk-1.qcow2'), image('vm-100-disk-1.qcow2')]
  await local.runChecked('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', raw, base])
  const over = ['-F', 'qcow2', '-b', './base-100-disk-1.qcow2', clone]
  await local.runChecked('qemu-img', ['create', '-q', '-f', 'qcow2', ...over])
  await local.runChecked('qemu-io', ['-f', 'qcow2', '-c', 'write -q -P 7 30M 1M', clone])
  loop = (await local.runChecked('losetup', ['--find', '--show', '--read-only', raw])).stdout.trim()
  await symlink(loop, join(pve.devices, 'vm-100-disk-2')).catch(() => undefined)
})
afterAll(async () => {
  if (loop) await local.run('losetup', ['--detach', loop])
  await lab?.horcrux.stop()
  await api?.stop()
})

/** A stopped Linux guest as the page of Proxmox VE 8 makes it. */
const web = {
  boot: 'order=scsi0;net0',
  cores: 1,
  cpu: 'x86-64-v2-AES',
  memory: '512',
  name: 'web',
  net0: 'virtio=BC:24:11:B8:FC:0A,bridge=vmbr0,firewall=1',
  numa: 0,
  ostype: 'l26',
  scsi0: 'local:100/vm-100-disk-0.raw,size=64M',
  scsi1: 'local:100/vm-100-disk-1.qcow2,size=64M',
  scsi2: 'blocks:vm-100-disk-2,size=64M',
  scsihw: 'virtio-scsi-single',
  sockets: 1,
}
beforeEach(() => {
  api.vms.clear()
  api.vms.set(100, { config: { ...web }, status: 'stopped', tasks: [{ upid: 'UPID:1', type: 'qmcreate' }] })
})

afterEach(async () => {
  for (const { id } of (await lab.horcrux.call(vms, 'list', {} as never)).data)
    await done(lab.horcrux, vms, 'delete', { id, purge: true })
})

let count = 0
const given = (more: object = {}) => ({
  address: '127.0.0.1',
  port: api.port,
  token_id: api.tokenId,
  token_secret: api.tokenSecret,
  fingerprint: api.fingerprint,
  vmid: 100,
  source_node: 'pve',
  pool: 'images',
  networks: [{ from: 'vmbr0', bridge: 'lan' }],
  ...more,
})
const planOf = async (more: object = {}) =>
  (await lab.horcrux.call(proxmoxImports, 'run', { ...given(more), plan: true } as never)) as unknown as ImportPlan
const refusal = (working: Promise<unknown>) =>
  working.then(
    () => undefined,
    (error: unknown) => error as ValidationError,
  )
const fresh = () => ({ id: `import-${count++}-${randomBytes(3).toString('hex')}` })
/** Volumes and VM that an import has left. */
const leftOf = async (id: string) => ({
  volumes: (await lab.horcrux.call(volumes, 'list', { id: 'images' } as never)).data.filter(({ name }) =>
    name.startsWith(id),
  ),
  vm: await refusal(lab.horcrux.call(vms, 'get', { id })),
})
/** Name, length and time of each file there. */
const filesThere = async () =>
  Promise.all(
    (await readdir(join(pve.images, '100'))).toSorted().map(async (name) => {
      const { size, mtimeMs } = await stat(image(name))
      return { name, size, mtimeMs }
    }),
  )

test('a raw file, a linked clone and a block device become a VM; nothing is changed there', async () => {
  const before = await filesThere()
  const listed = await lab.horcrux.call(proxmoxImports, 'list', given() as never).catch((error: unknown) => error)
  // The list takes the connection alone.
  expect(listed).toMatchObject({ status: 422 })
  const { vmid: _v, source_node: _s, pool: _p, networks: _n, ...connection } = given()
  expect(await lab.horcrux.call(proxmoxImports, 'list', connection)).toMatchObject({
    data: [{ vmid: 100, name: 'web', node: theirs!.name, status: 'stopped', template: false }],
  })

  const plan = await planOf()
  expect(plan).toMatchObject({
    name: 'web',
    node: 'hv1',
    cpus: 1,
    memory: 512,
    disks: [
      { file: 'local:100/vm-100-disk-0.raw', size_bytes: GiB, bus: 'scsi', pool: 'images' },
      { file: 'local:100/vm-100-disk-1.qcow2', size_bytes: GiB, bus: 'scsi' },
      { file: 'blocks:vm-100-disk-2', size_bytes: GiB, bus: 'scsi' },
    ],
    nics: [{ from: 'vmbr0', bridge: 'lan', model: 'virtio', mac: 'bc:24:11:b8:fc:0a' }],
    unmapped: ['net0: firewall=1'],
    violations: [],
  })
  expect((await planOf()).plan_id).toBe(plan.plan_id)

  const { id } = fresh()
  const operation = await work(lab.horcrux, proxmoxImports, 'run', given({ id }))
  expect(operation).toMatchObject({ state: 'succeeded' })
  const vm = operation.result as Vm
  expect(vm).toMatchObject({ id, name: 'web', status: 'stopped', boot_order: ['sda', 'network'] })
  for (const [index, source] of [
    ['raw', image('vm-100-disk-0.raw')],
    ['qcow2', image('vm-100-disk-1.qcow2')],
    ['raw', image('vm-100-disk-0.raw')],
  ].entries()) {
    const { volume, format } = vm.disks[index]!
    const copy = join(host!.dir, 'pool', `${volume}.${format}`)
    await local.runChecked('qemu-img', ['compare', '-f', source[0]!, '-F', format, source[1]!, copy])
    // 14 MiB of data at most, so that holes have stayed holes.
    expect((await stat(copy)).blocks * 512).toBeLessThan(20 * MiB)
  }
  expect(JSON.stringify(operation)).not.toContain(api.tokenSecret)
  expect(await filesThere()).toEqual(before)
  expect(plan.changed).toContain(`disk 0: its ${size} bytes become ${GiB}`)
  expect(api.requests.filter((line) => !line.startsWith('GET '))).toEqual([])
})

test('the certificate is compared before the token is sent', async () => {
  const seen = api.requests.length
  const { fingerprint, ...unpinned } = given()
  for (const [asked, code] of [
    [unpinned, 'unknown_certificate'],
    [{ ...unpinned, fingerprint: fingerprint.replaceAll(/[0-9A-F]/g, '0') }, 'other_certificate'],
  ] as const) {
    const error = await refusal(lab.horcrux.call(proxmoxImports, 'run', { ...asked, plan: true } as never))
    expect(error?.violations).toMatchObject([
      { field: 'fingerprint', code, message: expect.stringContaining(fingerprint) },
    ])
  }
  expect(api.requests.length).toBe(seen)
  const wrong = await refusal(planOf({ token_secret: 'wrong' }))
  expect(wrong?.violations).toMatchObject([{ field: 'token_secret', code: 'refused' }])
  expect(JSON.stringify(wrong)).not.toContain('wrong"')
  expect((await refusal(planOf({ vmid: 999 })))?.violations).toMatchObject([{ field: 'vmid', code: 'not_found' }])
})

test('a plan names everything that forbids the import at once', async () => {
  api.vms.set(100, {
    config: {
      ...web,
      scsi1: 'ceph:vm-100-disk-1,size=64M',
      scsi2: 'blocks:vm-100-disk-9,size=64M',
      scsi3: 'gone:vm-100-disk-3,size=64M',
      scsi4: '/dev/sdz,size=64M',
      scsi5: 'local:100/../../secret.raw,size=64M',
    },
    status: 'running',
    lock: 'backup',
    snapshots: ['monday'],
  })
  api.seesTasks = false
  const { violations, unmapped } = await planOf()
  api.seesTasks = true
  expect(violations.map(({ code }) => code)).toEqual([
    'unsupported',
    'inactive',
    'unreadable',
    'forbidden',
    'unsupported',
    'unsupported',
    'running',
    'locked',
  ])
  expect(unmapped).toContain("snapshot 'monday': only the present state is copied")
  expect((await planOf({ source_node: 'hv1' })).violations).toContainEqual(
    expect.objectContaining({ field: 'source_node', code: 'tool' }),
  )
  const { id } = fresh()
  const refused = await refusal(lab.horcrux.call(proxmoxImports, 'run', given({ id }) as never))
  expect(refused?.violations).toHaveLength(7)
  expect((await leftOf(id)).volumes).toEqual([])
})

test('a guest that was started meanwhile, and a cancel, leave nothing', async () => {
  const started = fresh()
  const first = api.requests.length
  const ending = work(lab.horcrux, proxmoxImports, 'run', given({ ...started, name: 'started' }))
  const tasksRead = () => api.requests.slice(first).some((line) => line.includes('/tasks'))
  await until(tasksRead, { what: 'the first look at the guest', timeoutMs: 30_000 })
  // It runs for a moment only: no status tells that.
  api.vms.get(100)!.tasks!.push({ upid: 'UPID:2', type: 'qmstart' }, { upid: 'UPID:3', type: 'qmstop' })
  const ended = await ending
  expect(ended).toMatchObject({ state: 'failed', error: { message: expect.stringContaining('started or changed') } })
  expect(await leftOf(started.id)).toMatchObject({ volumes: [], vm: { status: 404 } })

  const cancelled = fresh()
  const { id } = (await lab.horcrux.call(
    proxmoxImports,
    'run',
    given({ ...cancelled, name: 'cancelled' }) as never,
  )) as unknown as { id: string }
  const isCopying = async () => (await leftOf(cancelled.id)).volumes.length > 0
  await until(isCopying, { what: 'the first volume', timeoutMs: 30_000 })
  await lab.horcrux.call(operations, 'cancel', { id })
  const end = await lab.horcrux.call(operations, 'wait', { id, timeout: 60 }, { timeoutMs: 65_000 })
  expect(end.state).toBe('cancelled')
  expect(await leftOf(cancelled.id)).toMatchObject({ volumes: [], vm: { status: 404 } })
})

import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { nodes } from '#shared/contracts/cluster/nodes.ts'
import { devices } from '#shared/contracts/vm/devices.ts'
import { vms } from '#shared/contracts/vm/vms.ts'
import { within } from '#shared/runtime/request-context.ts'
import { ConflictError, UnavailableError } from '#shared/errors.ts'
import { type LxdKind, lxdOf } from '#shared/nodes/lxd/engine.ts'
import { reach } from '#shared/nodes/nodes.ts'
import { clusterService } from '../../../services/cluster/service.ts'
import type { HypervisorEvent } from '../../../services/vm/drivers/driver.ts'
import type { Definition } from '../../../services/vm/drivers/guest.ts'
import { lxd } from '../../../services/vm/drivers/lxd/lxd.ts'
import { storageService } from '../../../services/storage/service.ts'
import { vmRecords } from '../../../services/vm/model.ts'
import { vmService } from '../../../services/vm/service.ts'
import { type LabEngine, fetchEngines, missingForEngines, startEngine } from '../../lab/hosts/engines.ts'
import { startHorcrux, type TestHorcrux } from '../../lab/product/horcrux.ts'
import { missingForNats } from '../../lab/bus/nats.ts'
import { plainGuest, plainRecord } from '../../lab/guests/plain-guest.ts'
import { available } from '../../lab/requirements.ts'
import { until } from '../../lab/wait.ts'

const canRun = available('lxd', [...(await missingForEngines()), ...(await missingForNats())])

const guest: Definition = {
  ...plainGuest,
  id: 'web',
  name: 'web',
  handle: '6b2f0f4e-7e0b-4c52-9f63-2f3c9f1f0a11',
  memory: 128,
  firmware: 'uefi',
  cpu_model: null,
}

/** Ends when it is asked to, as a guest does. */
const init = `#!/bin/busybox sh
echo hello
trap 'exit 0' PWR TERM
while :; do /bin/busybox sleep 0.2; done
`

describe.skipIf(!canRun).each(['lxd', 'incus'] as const)('guests of %s', (kind: LxdKind) => {
  // This machine's engines run no virtual machines (no vhost_vsock); to the API, a container is an instance like any other.
  const driver = lxd(kind, 'container')
  let dir: string
  let horcrux: TestHorcrux
  let engine: LabEngine
  const inside = <T>(work: () => Promise<T>) =>
    within(
      { broker: horcrux.broker, service: 'vms', caller: { kind: 'service', name: 'vms' }, requestId: 'test' },
      work,
    )
  const api = () => inside(async () => lxdOf(await reach('local'), kind).api())
  const statusOf = async () => (await inside(() => driver.status(guest))).status

  /** The service refuses what would change the devices of an instance that runs, and the clone of it. */
  async function refusesDevices({ id, name, handle }: Definition): Promise<void> {
    const record = {
      ...plainRecord,
      id,
      name,
      handle,
      hypervisor: kind,
      node: 'local',
      status: 'running' as const,
    }
    await inside(() => vmRecords.insert(record))
    const asked = {
      attachNic: { bridge: 'br0' },
      detachNic: { nic: '52:54:00:00:00:01' },
      attachDisk: { pool: 'none', size: 2 ** 30 },
      detachDisk: { disk: 'vda' },
      resizeDisk: { disk: 'vda', size: 2 ** 30 },
      moveDisk: { disk: 'vda', pool: 'none' },
    }
    for (const [action, given] of Object.entries(asked)) {
      // The keys above are actions of the contract.
      const answer = horcrux.call(devices, action as keyof typeof asked, { id, ...given })
      const error = await answer.catch((thrown: Error) => thrown)
      expect(error).toBeInstanceOf(ConflictError)
      expect((error as Error).message).toBe(
        `A virtual machine of ${kind} has its devices changed while it is off; '${id}' is not`,
      )
    }
    const copied = await horcrux
      .call(vms, 'clone', { vm: id, name: 'copy', mode: 'full' })
      .catch((thrown: Error) => thrown)
    expect(copied).toBeInstanceOf(ConflictError)
    expect((copied as Error).message).toContain(`is running: ${kind} copies no disks of a guest that runs`)
    await inside(() => vmRecords.removeWhere({ _id: id }))
  }

  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'horcrux-engines-'))
    const starting = startHorcrux({
      services: [clusterService, storageService, vmService],
      config: { allowedPaths: ['/'] },
    })
    if (kind === 'incus') await fetchEngines(dir)
    engine = await startEngine(kind, dir)
    horcrux = await starting
    await until(() => horcrux.call(nodes, 'get', { id: 'local' }).catch(() => null), { what: 'the node' })
    await horcrux.call(nodes, 'update', { id: 'local', engine_sockets: { [kind]: engine.socket } })
    await until(async () => (await inside(() => reach('local'))).node.engine_config[kind], { what: 'the socket' })
  })
  afterAll(async () => {
    await horcrux?.stop()
    await engine?.stop()
    if (dir) await rm(dir, { recursive: true, force: true })
  })

  test('everything that the engine cannot do is refused in one answer, with its reasons', async () => {
    const nics = [{ bridge: 'br0', model: 'e1000e' }]
    const never = { balloon: 128, boot_order: ['network'], graphics: ['vnc'], video: 'virtio', nics }
    const boot = { kernel: '/etc/hostname' }
    const body = { name: 'web_1', memory: 128, cpus: 1, hypervisor: kind, boot }
    const error = await horcrux.call(vms, 'create', { ...body, ...never }).catch((thrown: Error) => thrown)
    expect(error).toMatchObject({ name: 'ValidationError' })
    const { message } = error as Error
    expect(message).toContain('name: ')
    expect(message).toContain('boot: ')
    for (const field of ['balloon', 'boot_order', 'graphics', 'video', 'nics.0.model'])
      expect(message).toContain(`${field}: `)
    const plain = await horcrux.call(vms, 'create', body).catch((thrown: Error) => thrown)
    expect((plain as Error).message).not.toMatch(/balloon|boot_order|graphics|video|model/)
    expect(message).toMatch(/hypervisor: .* runs no virtual machines: vhost_vsock kernel module not loaded/)
    expect(message).toMatch(/hypervisor: .* has no storage pool/)
  })

  test('a virtual machine is asked for in words that the engine understands, and refuses for its lack alone', async () => {
    const on = await api()
    await on.send('POST', '/1.0/storage-pools', { name: 'default', driver: 'dir', config: {} })
    const machine = { ...guest, name: 'machine', handle: 'b0c0a9ac-2a4c-4d0c-a0f3-9f2f6d3c8b77' }
    const error = await inside(() => lxd(kind).define(machine)).catch((thrown: Error) => thrown)
    expect(error).toBeInstanceOf(ConflictError)
    expect((error as Error).message).toContain('"virtual-machine" is not supported on this server')
  })

  test('an instance lives: made, started, frozen, resumed, counted, renamed, shut down, removed; each verb twice', async () => {
    const on = await api()
    const twice = (verb: () => Promise<unknown>) => inside(async () => (await verb(), await verb()))
    const heard: HypervisorEvent[] = []
    const unsubscribe = await inside(async () => driver.events(await reach('local'), (event) => heard.push(event)))
    await until(() => heard.some(({ kind }) => kind === 'connected'), { what: 'events' })

    await twice(() => driver.define(guest))
    await on.send('PATCH', '/1.0/instances/web', { config: { 'security.privileged': 'true', 'user.mine': 'kept' } })
    const root = join(dir, kind, 'storage-pools/default/containers/web/rootfs')
    for (const [name, body] of Object.entries({ 'bin/busybox': await readFile('/bin/busybox'), 'sbin/init': init })) {
      await mkdir(dirname(join(root, name)), { recursive: true })
      await writeFile(join(root, name), body, { mode: 0o755 })
    }
    expect(await statusOf()).toBe('stopped')

    await twice(() => driver.start(guest))
    expect(await statusOf()).toBe('running')
    await until(() => heard.some((event) => event.kind === 'guest' && event.handle === guest.handle), {
      what: 'an event of the guest',
    })
    const all = await inside(async () => driver.statuses(await reach('local')))
    expect([...all]).toEqual([[guest.handle, { status: 'running', status_reason: null }]])
    const stats = await until(
      () => inside(() => driver.statistics!.read(guest)).then((now) => (now.cpu_time_ns ? now : null)),
      {
        what: 'its counters',
      },
    )
    expect(stats.cpu_time_ns).toBeGreaterThan(0)

    await until(async () => (await inside(() => driver.serialLog!.text(guest))).includes('hello'), {
      what: 'its console',
    })

    await twice(() => driver.power!.pause(guest))
    expect(await statusOf()).toBe('paused')
    await twice(() => driver.power!.resume(guest))
    expect(await statusOf()).toBe('running')
    await inside(() => driver.shutdown(guest))
    await until(async () => (await statusOf()) === 'stopped', { what: 'its end' })

    const renamed = { ...guest, name: 'web-2', memory: 256 }
    await twice(() => driver.define(renamed))
    const { config } = await on.get<{ config: Record<string, string> }>('/1.0/instances/web-2')
    expect(config).toMatchObject({ 'limits.memory': '256MiB', 'user.mine': 'kept', 'security.privileged': 'true' })

    await inside(() => driver.start(renamed))
    await inside(() => driver.power!.reset(renamed))
    expect((await inside(() => driver.status(renamed))).status).toBe('running')
    await refusesDevices(renamed)
    await twice(() => driver.undefine(renamed))
    expect(await on.get('/1.0/instances')).toEqual([])
    unsubscribe()
  })

  test('an instance that Horcrux did not make is never listed as a guest', async () => {
    const on = await api()
    await on.send('POST', '/1.0/instances', {
      name: 'theirs',
      type: 'container',
      source: { type: 'none' },
      profiles: [],
      devices: { root: { type: 'disk', path: '/', pool: 'default' } },
    })
    await expect(inside(() => driver.define({ ...guest, name: 'theirs' }))).rejects.toThrow("has an instance 'theirs'")
    await inside(() => driver.undefine({ ...guest, name: 'theirs' }))
    expect(await on.get('/1.0/instances')).toEqual(['/1.0/instances/theirs'])
  })

  test('an engine that has ended gives an event and is unavailable', async () => {
    const heard: HypervisorEvent[] = []
    const unsubscribe = await inside(async () => driver.events(await reach('local'), (event) => heard.push(event)))
    await until(() => heard.length > 0, { what: 'the connection' })
    await engine.stop()
    await until(() => heard.some(({ kind }) => kind === 'disconnected'), { what: 'the end of the connection' })
    await expect(inside(() => driver.status(guest))).rejects.toThrow(UnavailableError)
    unsubscribe()
  })
})

import { randomUUID } from 'node:crypto'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ConflictError, NotFoundError, ValidationError } from '#shared/errors.ts'
import { openConnection, type Connection } from '#shared/nodes/libvirt/connection/connection.ts'
import * as domain from '#shared/nodes/libvirt/client/domain.ts'
import type { DomainEvent } from '#shared/nodes/libvirt/worker/events.ts'
import {
  capabilities,
  domainCapabilities,
  freeMemoryMib,
  hostname,
  nodeInfo,
  versions,
} from '#shared/nodes/libvirt/client/host-facts.ts'
import { domainSamples, domainStates } from '#shared/nodes/libvirt/client/stats.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { hasLab, inbox, labHost, tinyDomain } from './libvirt-lab.ts'

describe.skipIf(!hasLab())('domains of a real libvirt', () => {
  const events = inbox<DomainEvent>()
  const made: string[] = []
  let libvirt: Connection

  beforeAll(async () => {
    libvirt = await openConnection(labHost(1).uri, { host: 'node1', onEvent: events.put })
    await libvirt.listen(['lifecycle', 'reboot', 'device_added', 'device_removed'])
  })
  afterAll(async () => {
    for (const uuid of made) {
      await domain.destroyDomain(libvirt, uuid).catch(() => {})
      await domain.undefineDomain(libvirt, uuid).catch(() => {})
    }
    await libvirt.close()
  })

  const define = async (devices = '') => {
    const uuid = randomUUID()
    made.push(uuid)
    await domain.defineDomain(libvirt, tinyDomain(uuid, `lv-${uuid.slice(0, 8)}`, devices))
    return uuid
  }
  const lifecycle = (uuid: string, event: string) =>
    events.first((each) => each.kind === 'lifecycle' && each.uuid === uuid && each.event === event)

  test("each step of a domain's life gives an event", async () => {
    const uuid = await define()
    expect(await lifecycle(uuid, 'defined')).toMatchObject({ name: `lv-${uuid.slice(0, 8)}`, detail: 'added' })
    expect(await domain.domainState(libvirt, uuid)).toEqual({ state: 'shut_off', reason: 'unknown' })

    await domain.startDomain(libvirt, uuid, { paused: true })
    expect(await domain.domainState(libvirt, uuid)).toEqual({ state: 'paused', reason: 'user' })
    await domain.resumeDomain(libvirt, uuid)
    await lifecycle(uuid, 'resumed')
    expect((await domain.domainState(libvirt, uuid)).state).toBe('running')
    await domain.suspendDomain(libvirt, uuid)
    expect(await lifecycle(uuid, 'suspended')).toMatchObject({ detail: 'paused' })
    await domain.resetDomain(libvirt, uuid)
    await domain.resumeDomain(libvirt, uuid)
    await domain.shutdownDomain(libvirt, uuid, 'acpi')
    await domain.destroyDomain(libvirt, uuid)
    expect(await lifecycle(uuid, 'stopped')).toMatchObject({ detail: 'destroyed' })
    await domain.undefineDomain(libvirt, uuid)
    expect(await lifecycle(uuid, 'undefined')).toMatchObject({ detail: 'removed' })
    await expect(domain.domainState(libvirt, uuid)).rejects.toThrow(NotFoundError)
  })

  test('the list tells state, persistence and autostart of all', async () => {
    const [off, on] = [await define(), await define()]
    await domain.setAutostart(libvirt, on, true)
    await domain.startDomain(libvirt, on)
    const list = new Map((await domain.listDomains(libvirt)).map((each) => [each.uuid, each]))
    expect(list.get(off)).toMatchObject({ state: 'shut_off', isPersistent: true, isAutostart: false })
    expect(list.get(on)).toMatchObject({ state: 'running', reason: 'booted', isPersistent: true, isAutostart: true })

    await domain.undefineDomain(libvirt, on)
    const transient = (await domain.listDomains(libvirt)).find(({ uuid }) => uuid === on)
    expect(transient).toMatchObject({ state: 'running', isPersistent: false, isAutostart: false })
    expect((await domainStates(libvirt)).find(({ uuid }) => uuid === on)).toMatchObject({ state: 'running' })
  })

  test('definitions change while it is off, and are found by name', async () => {
    const uuid = await define()
    const name = `lv-renamed-${uuid.slice(0, 8)}`
    await domain.renameDomain(libvirt, uuid, name)
    expect(await domain.findDomain(libvirt, name)).toEqual({ uuid, name })
    await domain.setMemory(libvirt, uuid, 256, { config: true, maximum: true })
    await domain.setMemory(libvirt, uuid, 192, { config: true })
    await domain.setVcpus(libvirt, uuid, 2, { config: true })
    const xml = await domain.domainXml(libvirt, uuid, { inactive: true })
    expect(xml).toContain(`<memory unit='KiB'>${256 * 1024}</memory>`)
    expect(xml).toContain(`<currentMemory unit='KiB'>${192 * 1024}</currentMemory>`)
    expect(xml).toMatch(/<vcpu[^>]*>2<\/vcpu>/)
  })

  test('a disk is attached live, grown, measured and detached', async () => {
    const uuid = await define(
      "<interface type='user'><mac address='52:54:00:00:00:01'/><model type='virtio'/></interface>",
    )
    await domain.startDomain(libvirt, uuid, { paused: true })
    const image = `/var/lib/libvirt/images/${uuid}.qcow2`
    await mkdir(labHost(1).dir, { recursive: true })
    await localHost().runChecked('qemu-img', [
      'create',
      '-q',
      '-f',
      'qcow2',
      join(labHost(1).dir, `${uuid}.qcow2`),
      '8M',
    ])
    const disk = `<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='${image}'/>
      <target dev='vda' bus='virtio'/></disk>`

    await domain.attachDevice(libvirt, uuid, disk, { live: true, config: true })
    expect(await events.first((each) => each.kind === 'device_added' && each.uuid === uuid)).toMatchObject({
      alias: 'virtio-disk0',
    })
    await domain.resizeBlock(libvirt, uuid, 'vda', 16 * 2 ** 20)

    const [sample] = await domainSamples(libvirt, { uuids: [uuid, randomUUID()], wait: true })
    expect(sample).toMatchObject({
      uuid,
      state: 'paused',
      vcpus: { current: 1, maximum: 2 },
      balloon: { maximum_kib: 131_072 },
      block: [{ name: 'vda', path: image, capacity: 16 * 2 ** 20, wr_bytes: 0 }],
    })
    expect(sample?.cpu_time_ns).toBeGreaterThan(1_000_000)
    expect(sample?.balloon?.rss_kib).toBeGreaterThan(1_000)

    const cable = (state: string) => `<interface type='user'><mac address='52:54:00:00:00:01'/><model type='virtio'/>
      <link state='${state}'/></interface>`
    await domain.updateDevice(libvirt, uuid, cable('down'), { config: true })
    expect(await domain.domainXml(libvirt, uuid, { inactive: true })).toContain("<link state='down'/>")

    await domain.detachDevice(libvirt, uuid, disk, { config: true })
    expect(await domain.domainXml(libvirt, uuid, { inactive: true })).not.toContain(image)
    expect(await domain.domainXml(libvirt, uuid)).toContain(image)
  })

  test('commands reach QEMU', async () => {
    const uuid = await define()
    await domain.startDomain(libvirt, uuid)
    await domain.rebootDomain(libvirt, uuid, 'acpi')
    const status = await domain.monitorCommand(libvirt, uuid, { execute: 'query-status' })
    expect(status).toMatchObject({ return: { status: 'running' } })
    await expect(domain.monitorCommand(libvirt, uuid, { execute: 'no-such-thing' })).resolves.toHaveProperty('error')
    await expect(domain.agentCommand(libvirt, uuid, { execute: 'guest-ping' })).rejects.toThrow(ConflictError)
  })

  test("an error of libvirt is translated into ours, with libvirt's reason", async () => {
    const uuid = await define()
    await expect(domain.defineDomain(libvirt, '<domain/>')).rejects.toThrow(ValidationError)
    await expect(domain.defineDomain(libvirt, tinyDomain(randomUUID(), 'x', '<nonsense/>'))).rejects.toThrow(/schema/)
    await expect(domain.defineDomain(libvirt, tinyDomain(randomUUID(), `lv-${uuid.slice(0, 8)}`))).rejects.toThrow(
      ConflictError,
    )
    await expect(domain.destroyDomain(libvirt, uuid)).rejects.toThrow(ConflictError)
    await expect(domain.destroyDomain(libvirt, uuid)).rejects.toMatchObject({
      details: { host: 'node1', libvirt_code: 55 },
    })
    await domain.startDomain(libvirt, uuid)
    await expect(domain.startDomain(libvirt, uuid)).rejects.toThrow(/already running/)
    await expect(domain.attachDevice(libvirt, uuid, '<disk/>', { live: true })).rejects.toThrow(ValidationError)
  })

  test("the host's facts are read", async () => {
    expect(await versions(libvirt)).toMatchObject({
      libvirt: expect.stringMatching(/^\d+\.\d+\.\d+$/),
      hypervisor: expect.stringMatching(/^\d+\.\d+\.\d+$/),
    })
    expect(await hostname(libvirt)).toBe('node1')
    const node = await nodeInfo(libvirt)
    expect(node).toMatchObject({ model: 'x86_64' })
    expect(node.cpus).toBeGreaterThan(0)
    expect(await freeMemoryMib(libvirt)).toBeLessThan(node.memoryMib)
    expect(await capabilities(libvirt)).toContain('<capabilities>')
    expect(await domainCapabilities(libvirt, { arch: 'x86_64', virtType: 'qemu' })).toContain('<domain>qemu</domain>')
  })
})

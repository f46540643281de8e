import { join, basename } from 'node:path'
import { parse } from 'yaml'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Meta } from '#shared/bus/call.ts'
import { cloudinit } from '#shared/contracts/vm/cloudinit.ts'
import { consoles } from '#shared/contracts/vm/consoles.ts'
import { nodes } from '#shared/contracts/cluster/nodes.ts'
import { type Operation, operations } from '#shared/contracts/core/operations.ts'
import { templates } from '#shared/contracts/vm/templates.ts'
import { type Vm, vms } from '#shared/contracts/vm/vms.ts'
import { PreconditionFailedError, ValidationError } from '#shared/errors.ts'
import { buildTinyGuest, guestPrefix } from '../../../../tools/tiny-guest/tiny-guest.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { clusterService } from '../../../../services/cluster/service.ts'
import { storageService } from '../../../../services/storage/service.ts'
import { vmService } from '../../../../services/vm/service.ts'
import { haveBridge } from '../../../lab/hosts/bridges.ts'
import { startHorcrux, type TestHorcrux } from '../../../lab/product/horcrux.ts'
import { asNode } from '../../../lab/faults/scenarios.ts'
import { until } from '../../../lab/wait.ts'
import { done } from '../../../lab/product/run-operation.ts'
import { labHosts } from '../../../lab/hosts/lab.ts'

const [host] = labHosts
const images = '/var/lib/libvirt/images'
const [first, second] = ['52:54:00:00:00:01', '52:54:00:00:00:02']
let horcrux: TestHorcrux
let boot: object

const virsh = async (...words: string[]) =>
  (await localHost().runChecked('ip', ['netns', 'exec', host!.netns, 'virsh', '-c', host!.uri, ...words])).stdout
const serial = async (id: string) => (await horcrux.call(vms, 'serial', { id })).text
/** A document of the seed, as the guest has read it out on its console. */
const told = async (id: string, file: string) =>
  (await serial(id))
    .split(/\r?\n/)
    .flatMap((line) => line.split(`${guestPrefix} seed ${file} `)[1] ?? [])
    .join('\n')

const settings = {
  hostname: 'web',
  fqdn: 'web.example.org',
  user: { name: 'ada', plain_password: 'Canary-5f2c1', sudo: 'ALL=(ALL) NOPASSWD:ALL', shell: '/bin/bash' },
  ssh_keys: ['ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ8o ada@desk'],
  network: {
    ethernets: {
      lan: {
        set_name: 'lan0',
        addresses: ['10.0.0.5/24'],
        gateway: '10.0.0.1',
        nameservers: { addresses: ['10.0.0.2'], search: ['example.org'] },
      },
      dmz: { match: { macaddress: second }, dhcp4: true },
    },
  },
  packages: ['nginx'],
  runcmd: ['echo done > /run/marker', ['systemctl', 'restart', 'nginx']],
}

beforeAll(async () => {
  horcrux = await startHorcrux({ services: [clusterService, storageService, vmService] })
  await done(horcrux, nodes, 'register', asNode('hv1', host!))
  const built = await buildTinyGuest(localHost(), join(host!.dir, 'guest'))
  const asSeen = (path: string) => join(images, 'guest', basename(path))
  boot = { ...built, kernel: asSeen(built.kernel), initrd: asSeen(built.initrd) }
  await haveBridge(host!, 'seedbr')
  const nics = [first, second].map((mac) => ({ bridge: 'seedbr', mac }))
  await done(horcrux, vms, 'create', { id: 'web', name: 'web', memory: 256, cpus: 1, node: 'hv1', boot, nics })
})
afterAll(() => horcrux?.stop())

test('all mistakes in a seed are reported in one answer', async () => {
  const wrong = {
    ethernets: {
      lan: { addresses: ['10.0.0.5'], gateway: 'fd00::1', nameservers: { addresses: ['nobody'] } },
      dmz: { set_name: 'lan', gateway: '10.0.0.1', match: { macaddress: '52:54:00:00:00:09' } },
      third: {},
    },
  }
  // Of 128 characters, as long as a password can be, but longer than a guest can read.
  const user = { name: 'ada', plain_password: '\u{1f600}'.repeat(128) }
  const error = await horcrux.call(cloudinit, 'set', { id: 'web', network: wrong, user }).then(
    () => null,
    (thrown: unknown) => thrown,
  )
  if (!(error instanceof ValidationError)) throw error
  expect(error.violations.map(({ field }) => field)).toEqual([
    'network.ethernets.dmz.set_name',
    'network.ethernets.dmz.match.macaddress',
    'network.ethernets.dmz.gateway',
    'network.ethernets.third',
    'network.ethernets.lan.addresses.0',
    'network.ethernets.lan.nameservers.addresses.0',
    'network.ethernets.lan.gateway',
    'network.ethernets.dmz.gateway',
    'user.plain_password',
  ])
  await expect(horcrux.call(cloudinit, 'set', { id: 'web' })).rejects.toThrow()
})

test('a guest reads its seed and finds every setting in it, the password only as a hash', async () => {
  const vm = (await done(horcrux, cloudinit, 'set', { id: 'web', ...settings })) as Vm
  expect(vm.seed).toMatch(/web\.iso$/)
  // It has the hash of a password in it.
  expect((await localHost().stat(vm.seed!.replace('/var/lib/horcrux', host!.stateDir)))?.mode).toBe(0o600)
  await done(horcrux, vms, 'start', { id: 'web' })
  await until(async () => (await serial('web')).includes(`${guestPrefix} up`), {
    what: 'the guest',
  })
  const isRead = async () => (await told('web', 'user-data')).includes('nginx')
  await until(isRead, { what: 'the seed, read by the guest' })

  expect(parse(await told('web', 'meta-data'))).toEqual({ 'instance-id': 'web', 'local-hostname': 'web' })
  const userData = await told('web', 'user-data')
  expect(userData).toMatch(/^#cloud-config\n/)
  const { users, ...rest } = parse(userData) as { users: Record<string, unknown>[] }
  expect(rest).toEqual({
    hostname: 'web',
    preserve_hostname: false,
    fqdn: 'web.example.org',
    ssh_pwauth: true,
    package_update: true,
    packages: ['nginx'],
    runcmd: settings.runcmd,
  })
  const [{ passwd, ...user }] = users as [{ passwd: string }]
  expect(user).toEqual({
    name: 'ada',
    sudo: 'ALL=(ALL) NOPASSWD:ALL',
    shell: '/bin/bash',
    lock_passwd: false,
    ssh_authorized_keys: settings.ssh_keys,
  })
  const [, , salt] = passwd.split('$')
  const { stdout } = await localHost().runChecked('openssl', ['passwd', '-6', '-salt', salt!, '-stdin'], {
    input: 'Canary-5f2c1\n',
  })
  expect(stdout.trim()).toBe(passwd)
  expect(parse(await told('web', 'network-config'))).toEqual({
    version: 2,
    ethernets: {
      lan: {
        match: { macaddress: first },
        'set-name': 'lan0',
        dhcp4: false,
        addresses: ['10.0.0.5/24'],
        routes: [{ to: '0.0.0.0/0', via: '10.0.0.1' }],
        nameservers: { addresses: ['10.0.0.2'], search: ['example.org'] },
      },
      dmz: { match: { macaddress: second }, 'set-name': 'dmz', dhcp4: true },
    },
  })
  const kept = await horcrux.call(cloudinit, 'get', { id: 'web' })
  expect(kept).toMatchObject({ hostname: 'web', user: { name: 'ada', has_password: true } })
  expect(JSON.stringify(kept)).not.toContain('Canary')
  expect(JSON.stringify(kept)).not.toContain(passwd)
})

test('a running guest finds a changed seed in its drive at once', async () => {
  const vm = (await done(horcrux, cloudinit, 'set', { id: 'web', hostname: 'another' })) as Vm
  expect(vm).toMatchObject({ status: 'running', pending: [] })
  const text =
    'mkdir -p /tmp/look; for cd in /dev/sr*; do mount -r $cd /tmp/look && cat /tmp/look/meta-data && umount /tmp/look; done; echo looked""-around\n'
  await horcrux.call(consoles, 'write', { id: 'web', text })
  await until(async () => (await serial('web')).includes('looked-around'), { what: "the guest's answer" })
  expect(await horcrux.call(cloudinit, 'get', { id: 'web' })).toMatchObject({ hostname: 'another', version: 2 })
  expect(await serial('web')).toMatch(/local-hostname: "another"\r\n/)
})

test('the ETag of a seed changes with every change, also when it is removed and made anew', async () => {
  await done(horcrux, vms, 'create', { id: 'tagged', name: 'tagged', memory: 128, cpus: 1, node: 'hv1' })
  const etags: unknown[] = []
  const lookAfter = async (hostname: string) => {
    await done(horcrux, cloudinit, 'set', { id: 'tagged', hostname })
    const meta: Meta = { bytes: true }
    await horcrux.call(cloudinit, 'get', { id: 'tagged' }, { meta })
    etags.push(meta.etag)
  }
  await lookAfter('one')
  await lookAfter('two')
  await lookAfter('one')
  await done(horcrux, cloudinit, 'remove', { id: 'tagged' })
  await lookAfter('two')
  for (const [at, version] of [1, 2, 3, 1].entries()) expect(etags[at]).toMatch(new RegExp(`^"${version}-`))
  expect(new Set(etags).size).toBe(4)
  const kept = await horcrux.call(cloudinit, 'get', { id: 'tagged' })
  expect(kept).not.toHaveProperty('user')
  await done(horcrux, vms, 'delete', { id: 'tagged' })
})

test('If-Match on a seed names the version of the seed, and 0 demands that there is none', async () => {
  await done(horcrux, vms, 'create', { id: 'matched', name: 'matched', memory: 128, cpus: 1, node: 'hv1' })
  const set = (hostname: string, ifMatch: number) =>
    horcrux.call(cloudinit, 'set', { id: 'matched', hostname }, { meta: { ifMatch } })
  const ended = async (asked: Promise<unknown>) =>
    horcrux.call(operations, 'wait', { id: ((await asked) as Operation).id, timeout: 60 })
  expect((await ended(set('one', 0))).state).toBe('succeeded')
  await expect(set('two', 0)).rejects.toThrow(/Cloud-init seed .* is at version 1, not 0/)
  // The VM has another version by now.
  expect((await ended(set('two', 1))).state).toBe('succeeded')
  const drop = (ifMatch: number) => horcrux.call(cloudinit, 'remove', { id: 'matched' }, { meta: { ifMatch } })
  await expect(drop(1)).rejects.toThrow(PreconditionFailedError)
  expect((await ended(drop(2))).state).toBe('succeeded')
  await done(horcrux, vms, 'delete', { id: 'matched' })
})

test('resume wakes a guest that has suspended itself', async () => {
  await horcrux.call(consoles, 'write', { id: 'web', text: 'echo mem >/sys/power/state; echo wo""ken\n' })
  const status = async () => (await horcrux.call(vms, 'get', { id: 'web' })).status
  await until(async () => (await status()) === 'paused', { what: 'the guest, suspended' })
  expect(await horcrux.call(vms, 'get', { id: 'web' })).toMatchObject({
    status_reason: 'The guest has suspended itself',
  })
  expect(await done(horcrux, vms, 'resume', { id: 'web' })).toMatchObject({ status: 'running', status_reason: null })
  await until(async () => (await serial('web')).includes('woken'), { what: 'the guest, awake' })
})

test("a VM's name that is no valid host name is not used as one in its seed", async () => {
  await done(horcrux, vms, 'create', { id: 'under', name: 'web_1', memory: 128, cpus: 1, node: 'hv1' })
  const error = await horcrux
    .call(cloudinit, 'set', { id: 'under', runcmd: ['true'] })
    .catch((thrown: unknown) => thrown)
  if (!(error instanceof ValidationError)) throw error
  expect(error.violations).toMatchObject([{ field: 'hostname', code: 'required' }])
  await done(horcrux, cloudinit, 'set', { id: 'under', hostname: 'web-1', runcmd: ['true'] })
  // libvirt never knows a template: its seed cannot be taken out of a drive.
  await done(horcrux, templates, 'create', { vm_id: 'under' })
  await expect(horcrux.call(cloudinit, 'remove', { id: 'under' })).rejects.toThrow('is a template')
  expect(await virsh('list', '--all', '--name')).not.toContain('web_1')
  await done(horcrux, vms, 'delete', { id: 'under' })
})

test('a removed seed is ejected from a running guest and deleted', async () => {
  const { seed } = await horcrux.call(vms, 'get', { id: 'web' })
  const onHost = async () => (await localHost().stat(seed!.replace('/var/lib/horcrux', host!.stateDir))) !== null
  const vm = (await done(horcrux, cloudinit, 'remove', { id: 'web' })) as Vm
  expect(vm).toMatchObject({ seed: null, status: 'running' })
  expect(await onHost()).toBe(false)
  expect(await virsh('domblklist', 'web')).toMatch(/sdy\s+-/)
  await expect(horcrux.call(cloudinit, 'get', { id: 'web' })).rejects.toThrow('not found')
  await done(horcrux, vms, 'stop', { id: 'web', force: true })
  await done(horcrux, vms, 'delete', { id: 'web' })
})

test('a seed for a running guest without a drive is pending until its next start, and can be removed before', async () => {
  await done(horcrux, vms, 'create', { id: 'late', name: 'late', memory: 128, cpus: 1, node: 'hv1', boot, start: true })
  const waits = (await done(horcrux, cloudinit, 'set', { id: 'late', ...settings, network: undefined })) as Vm
  expect(waits).toMatchObject({ pending_restart: true, pending: [{ field: 'seed', current: null, next: waits.seed }] })
  expect(await done(horcrux, cloudinit, 'remove', { id: 'late' })).toMatchObject({ seed: null, pending: [] })
  await done(horcrux, cloudinit, 'set', { id: 'late', hostname: 'later' })
  const started = (await done(horcrux, vms, 'restart', { id: 'late', force: true, timeout: 1 })) as Vm
  expect(started).toMatchObject({ pending: [], pending_restart: false, status: 'running' })
  await until(async () => (await told('late', 'user-data')).includes('hostname: "later"'), {
    what: 'the seed, read by the guest',
  })
  await done(horcrux, vms, 'stop', { id: 'late', force: true })
  await done(horcrux, vms, 'delete', { id: 'late' })
})

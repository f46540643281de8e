import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { NotFoundError } from '#shared/errors.ts'
import { cloudinit } from '#shared/contracts/vm/cloudinit.ts'
import { moves } from '#shared/contracts/vm/moves.ts'
import { nodes } from '#shared/contracts/cluster/nodes.ts'
import { resourcePools } from '#shared/contracts/access/resource-pools.ts'
import { snapshotQuotas } from '#shared/contracts/vm/snapshot-quotas.ts'
import { snapshotSchedules } from '#shared/contracts/vm/snapshot-schedules.ts'
import { templates } from '#shared/contracts/vm/templates.ts'
import { vms } from '#shared/contracts/vm/vms.ts'
import { volumes } from '#shared/contracts/storage/volumes.ts'
import { volumesInternal } from '#shared/contracts/storage/volumes-internal.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { guestPrefix } from '../../../tools/tiny-guest/tiny-guest.ts'
import { guestOn } from '../guests/tiny-guest.ts'
import { until } from '../wait.ts'
import { haveBridge } from '../hosts/bridges.ts'
import type { LabHost } from '../hosts/hosts.ts'
import { parsePinnedKey } from '#shared/nodes/host/ssh/host-key.ts'
import { uploaded, withUpload } from './upload.ts'
import { done } from '../product/run-operation.ts'
import type { Calling, Scenario } from './scenario.ts'
import { backupScenarios, clearBackups } from './backup-scenarios.ts'
import { endAll } from './end-all.ts'
import { clearHa, haScenarios } from './ha-scenarios.ts'
import { importScenarios } from './import-scenarios.ts'
import { clearFarPool, migrationScenarios } from './migration-scenarios.ts'
import { clearReplicas, replicationScenarios } from './replication-scenarios.ts'
import { snapshotScenarios } from './snapshot-scenarios.ts'

const GiB = 2 ** 30

const newVm = { id: 'it', name: 'it', memory: 128, cpus: 1, node: 'hv1', disks: [{ pool: 'images', size: GiB }] }
const team = { id: 'team', name: 'team', limits: { instances: 1 } }
const inTeam = { ...newVm, resource_pool: team.id }
const withTeam = (horcrux: Calling) => horcrux.call(resourcePools, 'create', team)
const made = (horcrux: Calling) => done(horcrux, vms, 'create', newVm)
const madeInTeam = async (horcrux: Calling) => {
  await withTeam(horcrux)
  await done(horcrux, vms, 'create', inTeam)
}
const running = (horcrux: Calling) => done(horcrux, vms, 'create', { ...newVm, start: true })
const paused = async (horcrux: Calling) => {
  await running(horcrux)
  await done(horcrux, vms, 'pause', { id: 'it' })
}
const twoDisks = [
  { pool: 'images', size: GiB },
  { pool: 'images', size: GiB, format: 'raw' },
]
const offWithDisks = (horcrux: Calling) => done(horcrux, vms, 'create', { ...newVm, disks: twoDisks })
const runningWithDisks = (horcrux: Calling) =>
  done(horcrux, vms, 'create', { ...newVm, disks: twoDisks, firmware: 'uefi', start: true })
const withNic = (host: LabHost) => async (horcrux: Calling) => {
  await haveBridge(host, 'lan')
  await done(horcrux, vms, 'create', { ...newVm, disks: twoDisks, nics: [{ bridge: 'lan' }] })
}
const network_config = { ip_addresses: ['10.0.0.5/24'], gateway: '10.0.0.1', dns_servers: ['10.0.0.2'] }
const withSeed = async (horcrux: Calling) => {
  await made(horcrux)
  await done(horcrux, cloudinit, 'set', { id: 'it', hostname: 'it' })
}
const template = async (horcrux: Calling) => {
  await offWithDisks(horcrux)
  await done(horcrux, templates, 'create', { vm_id: 'it' })
}
const copyOfDisk = {
  id: 'images',
  volume: 'it-disk-0',
  source_owner: '/api/vms/it',
  mode: 'full',
  pool: 'images',
  name: 'copy-disk-0',
  format: 'qcow2',
  owner: '/api/vms/copy',
}
const ofIt = { id: 'images', owner: '/api/vms/it', node: 'hv1' }
const image = '/var/lib/libvirt/images/source.vdi'
/** An image of another format, of which 16 MiB are data. */
const withImage =
  ({ dir }: LabHost) =>
  async (horcrux: Calling) => {
    await withTeam(horcrux)
    const [raw, vdi] = [join(dir, 'source.raw'), join(dir, 'source.vdi')]
    await writeFile(raw, Buffer.alloc(16 * 2 ** 20, 7))
    await localHost().runChecked('qemu-img', ['convert', '-f', 'raw', '-O', 'vdi', raw, vdi])
  }
const ofImage = { id: 'images', name: 'it-disk-0', size: GiB, format: 'qcow2', image, owner: '/api/vms/it' }
const volume = (horcrux: Calling) => done(horcrux, volumes, 'create', { id: 'images', name: 'spare', size: GiB })

/** An image that was put into the folder of the storage pool. */
const withDropped =
  ({ dir }: LabHost) =>
  () =>
    localHost().runChecked('qemu-img', ['create', '-q', '-f', 'qcow2', join(dir, 'pool/dropped.qcow2'), String(GiB)])

const mac = '52:54:00:00:00:01'
const nic = { bridge: 'lan', mac }
const withTeamAndRun = async (horcrux: Calling) => {
  await withTeam(horcrux)
  await done(horcrux, vms, 'create', { ...inTeam, start: true })
}
/** A guest that hears when a device is wanted back; one without an operating system does not. */
const hearing = (host: LabHost) => async (horcrux: Calling) => {
  await withTeam(horcrux)
  const disks = [{ pool: 'images', size: GiB }, ...twoDisks]
  await done(horcrux, vms, 'create', { ...inTeam, memory: 256, disks, boot: await guestOn(host), start: true })
  const isUp = async () => (await horcrux.call(vms, 'serial', { id: 'it' })).text.includes(`${guestPrefix} up`)
  await until(isUp, { what: 'the guest' })
}
const withKnownNic = (host: LabHost) => async (horcrux: Calling) => {
  await haveBridge(host, nic.bridge)
  await done(horcrux, vms, 'create', { ...newVm, nics: [nic] })
}
const besideBridge = (host: LabHost) => async (horcrux: Calling) => {
  await haveBridge(host, nic.bridge)
  await running(horcrux)
}

/** How a lab host is registered as a node. */
export const asNode = (id: string, { address, port, user, privateKey, hostKey }: LabHost) => ({
  id,
  name: id,
  address,
  ssh_port: port,
  ssh_user: user,
  private_key: privateKey,
  host_key: parsePinnedKey(hostKey).fingerprint,
  allowed_paths: ['/var/lib/libvirt/images'],
})

/** At least one for every kind of operation; the matrix fails for a kind that has none. */
export const scenarios = (second: LabHost, first: LabHost): Record<string, Scenario> => ({
  ...importScenarios(first),
  'vms.create': { before: withTeam, params: { ...inTeam, start: true } },
  'vms.create of an image': {
    kind: 'vms.create',
    before: withImage(first),
    params: { ...inTeam, disks: [{ pool: 'images', image }] },
  },
  'vms.start': { before: made, params: { id: 'it' } },
  'vms.shutdown': { before: running, params: { id: 'it', timeout: 1 } },
  'vms.stop': { before: running, params: { id: 'it', timeout: 1 } },
  'vms.restart': { before: running, params: { id: 'it', timeout: 1, force: true } },
  'vms.reset': { before: running, params: { id: 'it' } },
  'vms.pause': { before: running, params: { id: 'it' } },
  'vms.resume': { before: paused, params: { id: 'it' } },
  'vm-bulk.run': { before: made, params: { action: 'start', ids: ['it', 'other'] } },
  'vms.delete': { before: madeInTeam, params: { id: 'it', purge: true } },
  'vms.clone': { before: withNic(first), params: { vm: 'it', id: 'copy', name: 'copy', mode: 'full', network_config } },
  'vms.clone of a guest that runs': {
    kind: 'vms.clone',
    before: runningWithDisks,
    params: { vm: 'it', id: 'copy', name: 'copy', mode: 'full', start: true },
  },
  'devices.attachDisk': { before: withTeamAndRun, params: { id: 'it', pool: 'images', size: GiB } },
  'devices.detachDisk': { before: hearing(first), params: { id: 'it', disk: 'vdb', purge: true, timeout: 30 } },
  'devices.resizeDisk': { before: withTeamAndRun, params: { id: 'it', disk: 'vda', size: 2 * GiB } },
  'devices.moveDisk': {
    before: offWithDisks,
    params: { id: 'it', disk: 'vda', pool: 'images', format: 'raw' },
  },
  'devices.moveDisk of a guest that runs': {
    kind: 'devices.moveDisk',
    before: runningWithDisks,
    params: { id: 'it', disk: 'vdb', pool: 'images', format: 'qcow2' },
  },
  'devices.attachNic': { before: besideBridge(first), params: { id: 'it', ...nic } },
  'devices.detachNic': { before: withKnownNic(first), params: { id: 'it', nic: mac } },
  'cloudinit.set': {
    before: withNic(first),
    params: { id: 'it', hostname: 'it', user: { name: 'me', plain_password: 'x1' } },
  },
  'cloudinit.remove': { before: withSeed, params: { id: 'it' } },
  'templates.create': { before: made, params: { vm_id: 'it' } },
  'templates.delete': { before: template, params: { id: 'it' } },
  'templates.deploy': { before: template, params: { template: 'it', id: 'copy', name: 'copy', start: true } },
  ...snapshotScenarios({ newVm, twoDisks, running, runningWithDisks }),
  ...backupScenarios({ offWithDisks }),
  ...replicationScenarios({ off: made }),
  'volumes.clone': { before: volume, params: { id: 'images', volume: 'spare', name: 'copy', mode: 'linked' } },
  'volumes-internal.cloneFor': { before: made, params: copyOfDisk },
  'uploads.complete': { before: withUpload, params: uploaded },
  'volumes-internal.importFor': { before: withImage(first), params: ofImage },
  'volumes.create': { params: { id: 'images', name: 'new', size: GiB } },
  'volumes.resize': { before: volume, params: { id: 'images', volume: 'spare', size: 2 * GiB } },
  'volumes.move': {
    before: volume,
    params: { id: 'images', volume: 'spare', pool: 'images', name: 'moved', format: 'raw' },
  },
  'volumes.delete': { before: volume, params: { id: 'images', volume: 'spare' } },
  'volumes.scan': { before: withDropped(first), params: { id: 'images' } },
  'volumes-internal.copyAcross': {
    before: async (horcrux) => {
      await made(horcrux)
      await horcrux.call(volumesInternal, 'createFor', { ...ofIt, name: 'copy-disk-0', size: GiB, format: 'raw' })
    },
    params: {
      from: { ...ofIt, volume: 'it-disk-0' },
      to: { ...ofIt, volume: 'copy-disk-0' },
      bytes_per_second: 100 * 2 ** 20,
    },
  },
  'moves.halt': { before: running, params: { id: 'it', timeout_seconds: 1 } },
  'moves.transfer': {
    before: async (horcrux) => {
      await done(horcrux, vms, 'create', { ...newVm, disks: [], start: true })
      await done(horcrux, nodes, 'register', asNode('hv2', second))
      await horcrux.call(moves, 'begin', { id: 'it', target: 'hv2', operation: 'none' })
    },
    params: {
      id: 'it',
      target: 'hv2',
      disks: [],
      is_paused: false,
      bandwidth_mib: 1000,
      auto_converge: false,
      post_copy: false,
      max_downtime_ms: 300,
    },
  },
  ...haScenarios(first, (horcrux) => done(horcrux, vms, 'create', { ...newVm, disks: [], start: true })),
  'nodes.register': { params: asNode('hv2', second) },
  ...migrationScenarios({
    withSecond: (horcrux) => done(horcrux, nodes, 'register', asNode('hv2', second)),
    runningBeside: async (horcrux) => {
      await done(horcrux, vms, 'create', { ...newVm, disks: [], start: true })
      await done(horcrux, nodes, 'register', asNode('hv2', second))
    },
  }),
})

/** Newest first, so that a backing file is deleted after the disks that use it. */
const newestFirst = <T extends { created_at: string }>(all: T[]): T[] =>
  all.toSorted((a, b) => b.created_at.localeCompare(a.created_at))

/** Records a guest that has moved to hv2 as one of that node, and clears hv1 of it. */
async function takeFrom(horcrux: Calling, id: string): Promise<void> {
  const place = { id, target: 'hv2' }
  const { is_at } = await horcrux.call(moves, 'settle', { ...place, is_paused: false }, { timeoutMs: 60_000 })
  if (is_at === 'source') return void (await horcrux.call(moves, 'end', { id, operation: 'none' }))
  await horcrux.call(moves, 'take', { ...place, disks: [] })
  await horcrux.call(moves, 'forget', { id, node: 'hv1' })
}

/** Takes away all that a scenario may have left, by the API itself. */
export async function clear(horcrux: Calling): Promise<void> {
  await endAll(horcrux)
  await clearBackups(horcrux)
  await clearHa(horcrux)
  for (const { uuid } of (await horcrux.call(vms, 'unmanaged', { id: 'hv1' })).data)
    await done(horcrux, vms, 'adopt', { node: 'hv1', domain: uuid })
  const guests = (await horcrux.call(vms, 'list', {})).data
  const isMoving = (await horcrux.call(nodes, 'list', {})).data.some(({ id }) => id === 'hv2')
  for (const { id, status, node } of newestFirst(guests)) {
    if (isMoving && node === 'hv1') await takeFrom(horcrux, id)
    if (status !== 'stopped') await done(horcrux, vms, 'stop', { id, force: true })
    await done(horcrux, vms, 'delete', { id, purge: true })
  }
  await clearReplicas(horcrux)
  // Files that were in the folder before, and still are, become volumes to be deleted.
  await done(horcrux, volumes, 'scan', { id: 'images' })
  const left = (await horcrux.call(volumes, 'list', { id: 'images' })).data
  for (const { name, used_by } of newestFirst(left))
    if (used_by) await horcrux.call(volumesInternal, 'deleteFor', { id: 'images', volume: name, owner: used_by })
    else await done(horcrux, volumes, 'delete', { id: 'images', volume: name })
  for (const { id } of (await horcrux.call(snapshotSchedules, 'list', {})).data)
    await horcrux.call(snapshotSchedules, 'delete', { id })
  for (const { id } of (await horcrux.call(snapshotQuotas, 'list', {})).data)
    await horcrux.call(snapshotQuotas, 'delete', { id })
  await horcrux.call(resourcePools, 'delete', { id: team.id }).catch((error: Error) => {
    if (!(error instanceof NotFoundError)) throw error
  })
  await clearFarPool(horcrux)
  for (const { id } of (await horcrux.call(nodes, 'list', {})).data)
    if (id === 'hv2') await horcrux.call(nodes, 'remove', { id })
}

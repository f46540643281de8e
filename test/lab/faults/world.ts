import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import mongoose from 'mongoose'
import { bus } from '#shared/bus/bus.ts'
import { streams } from '#shared/bus/streams.ts'
import { nodes } from '#shared/contracts/cluster/nodes.ts'
import { resourcePools } from '#shared/contracts/access/resource-pools.ts'
import { backups } from '#shared/contracts/storage/backups.ts'
import { snapshotQuotas } from '#shared/contracts/vm/snapshot-quotas.ts'
import { snapshotSchedules } from '#shared/contracts/vm/snapshot-schedules.ts'
import { snapshots } from '#shared/contracts/vm/snapshots.ts'
import { vms } from '#shared/contracts/vm/vms.ts'
import { volumes } from '#shared/contracts/storage/volumes.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { readVault } from './backup-scenarios.ts'
import type { TestHorcrux } from '../product/horcrux.ts'
import type { LabHost } from '../hosts/hosts.ts'
import { readReplicas } from './replication-scenarios.ts'

/** Everything that operations act on: as Horcrux reports it, and as libvirt and the disks have it. */
export type World = Record<
  | 'guests'
  | 'snapshots'
  | 'snapshotRules'
  | 'backups'
  | 'vault'
  | 'replicas'
  | 'devices'
  | 'volumes'
  | 'nodes'
  | 'resourcePoolUse'
  | 'domains'
  | 'jobs'
  | 'files'
  | 'seeds'
  | 'variables',
  string[]
>

const uuid = /[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/

export async function readWorld(horcrux: Pick<TestHorcrux, 'call'>, host: LabHost): Promise<World> {
  const [guests, disks, hosts, resourcePoolUse] = await Promise.all([
    horcrux.call(vms, 'list', {}),
    horcrux.call(volumes, 'list', { id: 'images' }),
    horcrux.call(nodes, 'list', {}),
    horcrux.call(resourcePools, 'list', {}),
  ])
  const { stdout } = await localHost().runChecked('virsh', ['-c', host.uri, 'list', '--all'])
  const domains = stdout.split('\n').slice(2).filter(Boolean)
  const states = domains.map((line) =>
    line
      .trim()
      .replace(/^(\d+|-)\s+/, '')
      .replaceAll(/\s+/g, ' '),
  )
  return {
    guests: guests.data.map(({ id, status, template }) => `${id} ${status}${template ? ' template' : ''}`),
    snapshots: [
      ...(await Promise.all(guests.data.map(({ id }) => snapshotsOf(horcrux, id)))).flat(),
      `${(await readdir(join(host.stateDir, 'snapshots')).catch(() => [])).length} kept on the node`,
    ],
    snapshotRules: [
      ...(await horcrux.call(snapshotSchedules, 'list', {})).data.map(({ id }) => `schedule ${id}`),
      ...(await horcrux.call(snapshotQuotas, 'list', {})).data.map(({ id }) => `quota ${id}`),
    ],
    // A run of a job names its backups after its operation.
    backups: (await horcrux.call(backups, 'list', {})).data.map(({ id, state, data }) =>
      `${id} ${state} ${data?.ok}`.replace(uuid, 'id'),
    ),
    vault: await readVault(horcrux),
    replicas: (await readReplicas(horcrux)).map((each) => each.replace(uuid, 'id')),
    devices: [
      ...guests.data.map(({ id, disks: own, nics, pending }) => {
        const parts = own.map((disk) => `${disk.id}=${disk.volume}:${disk.size_bytes}`)
        return `${id}: ${parts.join(' ')}, ${nics.length} NICs, waiting: ${pending.map(({ field }) => field).join(' ')}`
      }),
      ...(await Promise.all(guests.data.map(({ name }) => pluggedIn(host, name)))),
    ],
    volumes: disks.data.map(
      ({ name, size_bytes, used_by, snapshots: count }) => `${name} ${size_bytes} ${used_by} ${count} snapshots`,
    ),
    nodes: hosts.data.map(({ id, maintenance }) => `${id}${maintenance ? ' in maintenance' : ''}`),
    resourcePoolUse: resourcePoolUse.data.map(
      ({ id, used, members }) => `${id} ${JSON.stringify(used)} ${members.map((one) => one.id)}`,
    ),
    domains: states,
    jobs: (await Promise.all(states.map((state) => jobOf(host, state)))).flat(),
    seeds: await keptOf(host, 'seeds', 'copy'),
    variables: [...(await keptOf(host, 'nvram', 'it')), ...(await keptOf(host, 'nvram', 'copy'))],
    // A layer is named after its snapshot, whose id each run makes anew.
    files: (await readdir(join(host.dir, 'pool'))).map((name) => name.replace(/@[0-9a-f-]+\./, '@id.')).toSorted(),
  }
}

/** The snapshots of a guest, and the place of its disks among them. */
async function snapshotsOf(horcrux: Pick<TestHorcrux, 'call'>, id: string): Promise<string[]> {
  const { data } = await horcrux.call(snapshots, 'list', { id })
  const { can_undo_restore } = await horcrux.call(snapshots, 'tree', { id })
  const named = data.map(
    ({ name, state, is_current }) => `${name.replace(uuid, 'id')} ${state}${is_current ? ' current' : ''}`,
  )
  return [`${id}: ${named.join(', ')}${can_undo_restore ? ', restored' : ''}`]
}

/** The devices of a domain: by its definition, and of the running guest. */
async function pluggedIn({ uri }: LabHost, name: string): Promise<string> {
  const asked = [['--inactive'], []].map(async (how) => {
    const { stdout } = await localHost().run('virsh', ['-c', uri, 'dumpxml', name, ...how])
    const disks = [...stdout.matchAll(/<target dev='([a-z]+)' bus/g)].map(([, target]) => target)
    return `${disks.join(' ')} and ${stdout.split('<interface ').length - 1} NICs`
  })
  return `${name} has ${(await Promise.all(asked)).join('; runs with ')}`
}

/** The job that libvirt runs on a domain, such as a backup. @param state the domain's name and state */
async function jobOf({ uri }: LabHost, state: string): Promise<string[]> {
  const [name] = state.split(' ') as [string]
  const { stdout } = await localHost().run('virsh', ['-c', uri, 'domjobinfo', name])
  const type = /Job type:\s+(.*\S)/.exec(stdout)?.[1] ?? 'None'
  return type === 'None' ? [] : [`${name} ${type}`]
}

/** A guest's files in a folder of its node. */
async function keptOf({ stateDir }: LabHost, folder: string, id: string): Promise<string[]> {
  const all = await readdir(join(stateDir, folder)).catch(() => [])
  return all.filter((name) => name.startsWith(`${id}.`)).toSorted()
}

/** Leftovers that an operation must not have: locks, unsent messages of the outbox, messages in the queue. */
export async function leftovers(): Promise<{ locks: number; messages: number; outboxes: number }> {
  const { db } = mongoose.connection
  const locks = await db!.collection('locks').countDocuments()
  const outboxes = await db!.collection('operations').countDocuments({ 'outbox.id': { $gt: '' } })
  const { state } = await (await bus().manager()).streams.info(streams.work)
  return { locks, outboxes, messages: state.messages }
}

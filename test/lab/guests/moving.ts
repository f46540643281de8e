import { join } from 'node:path'
import { connect } from 'nats'
import type { Config } from '#shared/config/config.ts'
import { nodes } from '#shared/contracts/cluster/nodes.ts'
import { migrations } from '#shared/contracts/migration/migrations.ts'
import { pools } from '#shared/contracts/storage/pools.ts'
import { vms } from '#shared/contracts/vm/vms.ts'
import { volumes } from '#shared/contracts/storage/volumes.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { clusterService } from '../../../services/cluster/service.ts'
import { migrationService } from '../../../services/migration/service.ts'
import { storageService } from '../../../services/storage/service.ts'
import { vmService } from '../../../services/vm/service.ts'
import type { Service } from '#shared/service/start.ts'
import { keptEvents } from '../bus/stored-events.ts'
import { asNode } from '../faults/scenarios.ts'
import type { LabHost } from '../hosts/hosts.ts'
import { startHorcrux } from '../product/horcrux.ts'
import { done } from '../product/run-operation.ts'
import { poolPath } from './guests.ts'

export const GiB = 2 ** 30
let count = 0
/** A name of this try alone. */
export const fresh = (word: string) => `${word}-${process.pid}-${count++}`

/**
 * Horcrux with two lab hosts as the nodes hv1 and hv2, each with a storage pool of its own: `here` and `there`.
 * @param more services beside those that a migration needs
 */
export async function startMoving([one, two]: LabHost[], more: Service[] = [], config: Partial<Config> = {}) {
  const services = [clusterService, storageService, vmService, migrationService, ...more]
  const horcrux = await startHorcrux({ services, works: false, config })
  let atWork = horcrux.work()
  const stop = async () => {
    await atWork()
    await horcrux.stop()
  }
  const hosts = { hv1: one!, hv2: two! }
  try {
    for (const [id, host] of Object.entries(hosts)) await done(horcrux, nodes, 'register', asNode(id, host))
    await horcrux.call(pools, 'create', { id: 'here', type: 'dir', node: 'hv1', path: poolPath })
    await horcrux.call(pools, 'create', { id: 'there', type: 'dir', node: 'hv2', path: poolPath })
  } catch (error) {
    await stop()
    throw error
  }
  const virsh = async (node: keyof typeof hosts, ...words: string[]) =>
    (await localHost().run('virsh', ['-q', '-c', hosts[node].uri, ...words])).stdout.trim()
  /** The domains of a node with their states, such as `web running`. */
  const domains = async (node: keyof typeof hosts) =>
    (await virsh(node, 'list', '--all'))
      .split('\n')
      .filter(Boolean)
      .map((line) =>
        line
          .trim()
          .replace(/^\S+\s+/, '')
          .replaceAll(/\s+/g, ' '),
      )
  /** The file of a volume, as this machine sees it. */
  const fileOf = (node: keyof typeof hosts, name: string) => join(hosts[node].dir, 'pool', name)
  /** Writes a pattern into a disk of a guest that is off. */
  const write = async (node: keyof typeof hosts, name: string, mib: number) => {
    const format = name.endsWith('raw') ? 'raw' : 'qcow2'
    await localHost().runChecked('qemu-io', ['-f', format, '-c', `write -P 0x5a 8M ${mib}M`, fileOf(node, name)])
  }
  const holds = async (node: keyof typeof hosts, name: string, mib: number) => {
    const format = name.endsWith('raw') ? 'raw' : 'qcow2'
    const words = [
      '-r',
      '-U',
      '-f',
      format,
      '-c',
      `read -P 0x5a 8M ${mib}M`,
      '-c',
      'read -P 0 0 8M',
      fileOf(node, name),
    ]
    const { code, stdout } = await localHost().run('qemu-io', words)
    return code === 0 && !/Pattern verification failed/.test(stdout)
  }
  const make = (id: string, how: Record<string, unknown> = {}) =>
    done(horcrux, vms, 'create', {
      id,
      name: id,
      memory: 128,
      cpus: 1,
      node: 'hv1',
      disks: [
        { pool: 'here', size: GiB },
        { pool: 'here', size: GiB, format: 'raw' },
      ],
      ...how,
    })
  const vm = (id: string) => horcrux.call(vms, 'get', { id })
  const migration = (vm_id: string) => horcrux.call(migrations, 'status', { vm_id })
  const volumesOf = async (pool: string) =>
    (await horcrux.call(volumes, 'list', { id: pool })).data.map(({ name }) => name)
  /** The data of the events of a VM's migrations, as JetStream keeps them. */
  const events = async (type: string, vm_id: string) => {
    const { host, username: user, password: pass } = new URL(horcrux.env['NATS_URL']!)
    const kept = await keptEvents(() => connect({ servers: host, user, pass }))
    return kept.flatMap((each) => {
      const data = each.data as Record<string, unknown>
      return each.type === type && data['vm_id'] === vm_id ? [data] : []
    })
  }
  /** Takes away the VMs of a test. */
  const clear = async () => {
    for (const { id, status } of (await horcrux.call(vms, 'list', {})).data) {
      if (status !== 'stopped') await done(horcrux, vms, 'stop', { id, force: true })
      await done(horcrux, vms, 'delete', { id, purge: true })
    }
  }
  return {
    horcrux,
    hosts,
    virsh,
    domains,
    fileOf,
    write,
    holds,
    make,
    vm,
    migration,
    volumesOf,
    events,
    clear,
    stop,
    /** Hands over all operations, and begins to work on them again, as the process that takes over. */
    takeOver: async () => {
      await atWork()
      atWork = horcrux.work()
    },
  }
}
export type MovingLab = Awaited<ReturnType<typeof startMoving>>

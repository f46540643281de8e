import { join } from 'node:path'
import { inject } from 'vitest'
import type { GivenConfig } from '#shared/contracts/storage/pool-kinds.ts'
import type { Host } from '#shared/nodes/host/host.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'

const script = join(import.meta.dirname, 'ceph.sh')
const machine = localHost()

/** Programs that this machine lacks for a Ceph cluster. */
export const missingForCeph = async (): Promise<string[]> =>
  (await machine.runChecked('bash', [script, 'needs'])).stdout.split('\n').filter(Boolean)

/** The cluster of this run, with a client that may use pools of its own. */
export type LabCeph = {
  /** Makes a pool. @returns the request of a storage pool on it */
  newPool: () => Promise<GivenConfig<'ceph'>>
  /** Runs a command of the cluster's administrator. */
  admin: (program: 'ceph' | 'rbd', ...args: string[]) => Promise<string>
  /** Ports of its daemons on loopback. */
  ports: () => Promise<number[]>
}

let count = 0

/** Starts the Ceph cluster of this run, or finds it. It ends with the run. */
export async function startCeph(host: Host = machine): Promise<LabCeph> {
  const { dir, pid } = inject('run')
  const folder = join(dir, 'ceph')
  await host.runChecked('bash', [script, 'up', folder, String(pid)])
  const conf = join(folder, 'ceph.conf')
  const admin = async (program: 'ceph' | 'rbd', ...args: string[]) =>
    (await host.runChecked(program, ['-c', conf, ...args])).stdout.trim()
  const newPool = async () => {
    const name = `p-${process.pid}-${count++}`
    await admin('ceph', 'osd', 'pool', 'create', name, '1')
    await admin('ceph', 'osd', 'pool', 'application', 'enable', name, 'rbd')
    const caps = ['mon', 'profile rbd', 'osd', `profile rbd pool=${name}`]
    await admin('ceph', 'auth', 'get-or-create', `client.${name}`, ...caps)
    const key = await admin('ceph', 'auth', 'get-key', `client.${name}`)
    return { monitors: [await monitorOf(host, conf)], pool: name, user: name, key }
  }
  const ports = async () => {
    const { osds } = JSON.parse(await admin('ceph', 'osd', 'dump', '--format', 'json')) as {
      osds: { public_addrs: { addrvec: { addr: string }[] } }[]
    }
    const addresses = [
      await monitorOf(host, conf),
      ...osds.flatMap((osd) => osd.public_addrs.addrvec.map(({ addr }) => addr)),
    ]
    return addresses.map((address) => Number(address.split(':').at(-1)))
  }
  return { newPool, admin, ports }
}

async function monitorOf(host: Host, conf: string): Promise<string> {
  const [, monitor = ''] = /^mon host = v2:(.*)$/m.exec((await host.readFile(conf)).toString()) ?? []
  return monitor
}

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { startHosts, stopHosts } from '../test/lab/hosts/hosts.ts'
import { startProduct } from '../test/lab/product/product.ts'
import { demand, timed } from './demand.ts'
import { median, type Row } from './figures.ts'

const rounds = 5
const GiB = 2 ** 30
const machine = localHost()
const places = ['vda', 'vdb', 'vdc', 'vdd']

/** Snapshots of a running guest with four disks through the API, and libvirt's own of the same guest by hand. */
export async function benchSnapshot(): Promise<Row[]> {
  const dir = await mkdtemp(join(tmpdir(), 'horcrux-bench-'))
  const [host] = await startHosts(join(dir, 'hosts'), 1)
  const product = await startProduct([host!])
  try {
    const path = '/var/lib/libvirt/images/pool'
    await demand(product, 'POST /api/storage/pools', { id: 'images', type: 'dir', node: 'hv1', path })
    const disks = places.map(() => ({ pool: 'images', size: 2 * GiB }))
    const given = { memory: 128, cpus: 1, node: 'hv1', disks, start: true }
    await demand(product, 'POST /api/vms', { id: 'it', name: 'it', ...given })
    await demand(product, 'POST /api/vms', { id: 'by-hand', name: 'by-hand', ...given })
    const [ours, theirs, restores]: number[][] = [[], [], []]
    for (let round = 0; round < rounds; round++) {
      const name = `s${round}`
      ours!.push(await timed(() => demand(product, 'POST /api/vms/it/snapshots', { name })))
      const specs = places.flatMap((place) => ['--diskspec', `${place},file=${path}/hand-${place}-${round}.qcow2`])
      const words = ['snapshot-create-as', 'by-hand', '--disk-only', '--no-metadata', '--atomic', ...specs]
      theirs!.push(await timed(() => machine.runChecked('virsh', ['-q', '-c', host!.uri, ...words])))
    }
    const { body } = await product.ask('GET /api/vms/it/snapshots')
    const taken = body['data'] as { id: string; pause_ms: number }[]
    await demand(product, 'POST /api/vms/it/stop', { force: true })
    for (const { id } of taken)
      restores!.push(await timed(() => demand(product, `POST /api/vms/it/snapshots/${id}/restore`, {})))
    const pauses = taken.map(({ pause_ms }) => pause_ms)
    return [
      { what: 'snapshot of a running guest with four disks through the API', value: median(ours!), unit: 'ms' },
      { what: 'virsh snapshot-create-as of the same', value: median(theirs!), unit: 'ms' },
      { what: 'snapshot, API more than virsh', value: median(ours!) - median(theirs!), unit: 'ms' },
      { what: 'pause of the guest', value: median(pauses), unit: 'ms' },
      { what: 'longest pause of the guest', value: Math.max(...pauses), unit: 'ms' },
      { what: 'restore of four disks through the API', value: median(restores!), unit: 'ms' },
    ]
  } finally {
    await product.stop()
    await stopHosts(join(dir, 'hosts'))
    await rm(dir, { recursive: true, force: true })
  }
}

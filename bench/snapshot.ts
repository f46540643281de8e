import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { type LabHost, startHosts, stopHosts } from '../test/lab/hosts/hosts.ts'
import { startProduct } from '../test/lab/product/product.ts'
import { demand, timed } from './demand.ts'
import { median, mostMoreMs, type Row } from './figures.ts'

const rounds = 5
const diskBytes = 2 * 2 ** 30
const machine = localHost()
const places = ['vda', 'vdb', 'vdc', 'vdd']

const virsh = ({ uri }: LabHost, ...words: string[]) => machine.runChecked('virsh', ['-q', '-c', uri, ...words])

/** New layers above those of a snapshot, and the definition: all that a restore of disks takes without Horcrux. */
async function restoreByHand(host: LabHost, xml: string, round: number): Promise<void> {
  for (const place of places) {
    const [base, head] = [`hand-${place}-${round}.qcow2`, `head-${place}-${round}.qcow2`]
    // The layers have paths that only the lab host has: the size is given, so that they are not opened.
    const words = ['-u', '-f', 'qcow2', '-F', 'qcow2', '-b', base, join(host.dir, 'pool', head), String(diskBytes)]
    await machine.runChecked('qemu-img', ['create', '-q', ...words])
  }
  await virsh(host, 'define', xml)
}

/** Snapshots of a running guest with four disks through the API, and libvirt's own of the same guest by hand. */
export async function benchSnapshot(): Promise<Row[]> {
  const dir = await mkdtemp(join(tmpdir(), 'horcrux-bench-'))
  const [host] = await startHosts(join(dir, 'hosts'), 1)
  const product = await startProduct([host!])
  try {
    const path = '/var/lib/libvirt/images/pool'
    await demand(product, 'POST /api/storage/pools', { id: 'images', type: 'dir', node: 'hv1', path })
    const disks = places.map(() => ({ pool: 'images', size: diskBytes }))
    const given = { memory: 128, cpus: 1, node: 'hv1', disks, start: true }
    await demand(product, 'POST /api/vms', { id: 'it', name: 'it', ...given })
    await demand(product, 'POST /api/vms', { id: 'by-hand', name: 'by-hand', ...given })
    const [ours, theirs, restores, byHand]: number[][] = [[], [], [], []]
    for (let round = 0; round < rounds; round++) {
      const name = `s${round}`
      ours!.push(await timed(() => demand(product, 'POST /api/vms/it/snapshots', { name })))
      const specs = places.flatMap((place) => ['--diskspec', `${place},file=${path}/hand-${place}-${round}.qcow2`])
      const words = ['snapshot-create-as', 'by-hand', '--disk-only', '--no-metadata', '--atomic', ...specs]
      theirs!.push(await timed(() => virsh(host!, ...words)))
    }
    const { body } = await product.ask('GET /api/vms/it/snapshots')
    const taken = body['data'] as { id: string; pause_ms: number }[]
    await demand(product, 'POST /api/vms/it/stop', { force: true })
    const xml = join(dir, 'by-hand.xml')
    await virsh(host!, 'destroy', 'by-hand')
    await writeFile(xml, (await virsh(host!, 'dumpxml', '--inactive', 'by-hand')).stdout)
    for (const [round, { id }] of taken.entries()) {
      restores!.push(await timed(() => demand(product, `POST /api/vms/it/snapshots/${id}/restore`, {})))
      byHand!.push(await timed(() => restoreByHand(host!, xml, round)))
      // The next restore would end this one first, which is no part of it.
      await demand(product, 'POST /api/vms/it/restore/undo', {})
    }
    const pauses = taken.map(({ pause_ms }) => pause_ms)
    return [
      { what: 'snapshot of a running guest with four disks through the API', value: median(ours!), unit: 'ms' },
      { what: 'virsh snapshot-create-as of the same', value: median(theirs!), unit: 'ms' },
      {
        what: 'snapshot, API more than virsh',
        value: median(ours!) - median(theirs!),
        unit: 'ms',
        below: mostMoreMs,
      },
      { what: 'pause of the guest', value: median(pauses), unit: 'ms' },
      { what: 'longest pause of the guest', value: Math.max(...pauses), unit: 'ms', below: 300 },
      { what: 'restore of four disks through the API', value: median(restores!), unit: 'ms' },
      { what: 'qemu-img create -b four times, virsh define', value: median(byHand!), unit: 'ms' },
      {
        what: 'restore, API more than by hand',
        value: median(restores!) - median(byHand!),
        unit: 'ms',
        below: mostMoreMs,
      },
    ]
  } finally {
    await product.stop()
    await stopHosts(join(dir, 'hosts'))
    await rm(dir, { recursive: true, force: true })
  }
}

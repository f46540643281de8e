import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { startHosts, stopHosts } from '../test/lab/hosts/hosts.ts'
import { type Product, startProduct } from '../test/lab/product/product.ts'
import { demand, timed } from './demand.ts'
import { median, type Row } from './figures.ts'

const rounds = 9

type Virsh = (...words: string[]) => Promise<{ stdout: string }>

/** From nothing to running: a creation through the API, and the same definition with virsh define and start. */
async function createToRunning(product: Product, virsh: Virsh, dir: string): Promise<Row[]> {
  const given = { name: 'made', memory: 128, cpus: 1, node: 'hv1' }
  await demand(product, 'POST /api/vms', { id: 'made', ...given })
  const { stdout } = await virsh('dumpxml', '--inactive', 'made')
  const file = join(dir, 'made.xml')
  await writeFile(file, stdout)
  await demand(product, 'DELETE /api/vms/made')
  const ours: number[] = []
  const theirs: number[] = []
  for (let round = 0; round < rounds; round++) {
    ours.push(await timed(() => demand(product, 'POST /api/vms', { id: 'made', ...given, start: true })))
    await demand(product, 'POST /api/vms/made/stop', { force: true })
    await demand(product, 'DELETE /api/vms/made')
    theirs.push(
      await timed(async () => {
        await virsh('define', file)
        await virsh('start', 'made')
      }),
    )
    await virsh('destroy', 'made')
    await virsh('undefine', 'made')
  }
  return [
    { what: 'create to running through the API', value: median(ours), unit: 'ms' },
    { what: 'virsh define and start', value: median(theirs), unit: 'ms' },
    { what: 'create to running, API over virsh', value: median(ours) / median(theirs), unit: 'x', below: 1.15 },
  ]
}

/** Starting the same guest through the API and with virsh, in turn, on one lab host: medians in ms and their ratio. */
export async function domainStart(): Promise<Row[]> {
  const dir = await mkdtemp(join(tmpdir(), 'horcrux-bench-'))
  const [host] = await startHosts(join(dir, 'hosts'), 1)
  const product = await startProduct([host!])
  const virsh: Virsh = (...words) => localHost().runChecked('virsh', ['-q', '-c', host!.uri, ...words])
  try {
    await demand(product, 'POST /api/vms', { id: 'guest', name: 'guest', memory: 128, cpus: 1, node: 'hv1' })
    const ours: number[] = []
    const theirs: number[] = []
    for (let round = 0; round < rounds; round++) {
      ours.push(await timed(() => demand(product, 'POST /api/vms/guest/start')))
      await demand(product, 'POST /api/vms/guest/stop', { force: true })
      theirs.push(await timed(() => virsh('start', 'guest')))
      await virsh('destroy', 'guest')
    }
    return [
      { what: 'domain start through the API', value: median(ours), unit: 'ms' },
      { what: 'domain start with virsh', value: median(theirs), unit: 'ms' },
      { what: 'domain start, API over virsh', value: median(ours) / median(theirs), unit: 'x', below: 1.15 },
      ...(await createToRunning(product, virsh, dir)),
    ]
  } finally {
    await product.stop()
    await stopHosts(join(dir, 'hosts'))
    await rm(dir, { recursive: true, force: true })
  }
}

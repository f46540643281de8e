import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { startHosts, stopHosts } from '../test/lab/hosts/hosts.ts'
import { startProduct } from '../test/lab/product/product.ts'
import { demand, timed } from './demand.ts'
import { median, mostMoreMs, type Row } from './figures.ts'

const rounds = 6
const GiB = 2 ** 30
const machine = localHost()
const run = (program: string, ...words: string[]) => machine.runChecked(program, words, { timeoutMs: 120_000 })

/** Ours and the tool's in turn, each first every other time: the second one meets what the first has left to write. */
async function inTurn(ours: () => Promise<unknown>, theirs: () => Promise<unknown>, clean: () => Promise<unknown>) {
  const all: { ours: number[]; theirs: number[] } = { ours: [], theirs: [] }
  for (let round = 0; round < rounds; round++) {
    if (round % 2 === 0) all.ours.push(await timed(ours))
    all.theirs.push(await timed(theirs))
    if (round % 2 === 1) all.ours.push(await timed(ours))
    await clean()
  }
  return { ours: median(all.ours), theirs: median(all.theirs) }
}

/** Clones of a disk with a gibibyte of data through the API, and what qemu-img takes for the same by hand. */
export async function benchClone(): Promise<Row[]> {
  const dir = await mkdtemp(join(tmpdir(), 'horcrux-bench-'))
  const [host] = await startHosts(join(dir, 'hosts'), 1)
  const product = await startProduct([host!])
  const pool = join(host!.dir, 'pool')
  const image = join(pool, 'gold-disk-0.qcow2')
  const byHand = join(pool, 'by-hand.qcow2')
  const remove = () => demand(product, 'DELETE /api/vms/copy?purge=true').then(() => rm(byHand))
  try {
    const path = '/var/lib/libvirt/images/pool'
    await demand(product, 'POST /api/storage/pools', { id: 'images', type: 'dir', node: 'hv1', path })
    const disks = [{ pool: 'images', size: 2 * GiB }]
    await demand(product, 'POST /api/vms', { id: 'gold', name: 'gold', memory: 128, cpus: 1, node: 'hv1', disks })
    await run('qemu-io', '-f', 'qcow2', '-c', `write -P 7 0 ${GiB}`, image)
    const copy = { id: 'copy', name: 'copy' }
    const full = await inTurn(
      () => demand(product, 'POST /api/vms/gold/clone', { ...copy, mode: 'full' }),
      () => run('qemu-img', 'convert', '-t', 'writeback', '-f', 'qcow2', '-O', 'qcow2', image, byHand),
      remove,
    )
    await demand(product, 'POST /api/templates', { vm_id: 'gold' })
    const linked = await inTurn(
      () => demand(product, 'POST /api/templates/gold/deploy', copy),
      () => run('qemu-img', 'create', '-q', '-f', 'qcow2', '-b', image, '-F', 'qcow2', byHand),
      remove,
    )
    return [
      { what: 'full clone of 1 GiB of data through the API', value: full.ours, unit: 'ms' },
      { what: 'qemu-img convert -t writeback of the same', value: full.theirs, unit: 'ms' },
      { what: 'full clone, API over qemu-img', value: full.ours / full.theirs, unit: 'x' },
      { what: 'linked clone through the API, domain defined', value: linked.ours, unit: 'ms' },
      { what: 'qemu-img create -b', value: linked.theirs, unit: 'ms' },
      { what: 'linked clone, API over qemu-img', value: linked.ours / linked.theirs, unit: 'x' },
      {
        what: 'linked clone, API more than qemu-img',
        value: linked.ours - linked.theirs,
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

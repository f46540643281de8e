import { mkdtemp, open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { startHosts, stopHosts } from '../test/lab/hosts/hosts.ts'
import { startProduct } from '../test/lab/product/product.ts'
import { demand, timed } from './demand.ts'
import { median, type Row } from './figures.ts'

const rounds = 4
const GiB = 2 ** 30
/** Well below what the gateway waits for a request. */
const pieceBytes = GiB / 4
const writtenBytes = 64 * 2 ** 20
const machine = localHost()
const run = (program: string, ...words: string[]) => machine.runChecked(program, words, { timeoutMs: 600_000 })

/** An uploaded image of 2 GiB that becomes a volume, with its digest, and `qemu-img convert` of the same by hand. */
export async function benchImport(): Promise<Row[]> {
  const dir = await mkdtemp(join(tmpdir(), 'horcrux-bench-'))
  const [host] = await startHosts(join(dir, 'hosts'), 1)
  const product = await startProduct([host!])
  const pool = join(host!.dir, 'pool')
  const [file, byHand] = [join(pool, 'file'), join(pool, 'by-hand')]
  const times: Record<'sent' | 'ours' | 'theirs', number[]> = { sent: [], ours: [], theirs: [] }
  const convert = () => run('qemu-img', 'convert', '-t', 'writeback', '-f', 'raw', '-O', 'qcow2', file, byHand)
  try {
    const path = '/var/lib/libvirt/images/pool'
    await demand(product, 'POST /api/storage/pools', { id: 'images', type: 'dir', node: 'hv1', path })
    await run('qemu-img', 'create', '-q', '-f', 'raw', file, String(2 * GiB))
    const writes = Array.from({ length: (2 * GiB) / writtenBytes }, (_, index) => [
      '-c',
      `write -P ${index + 1} ${index * writtenBytes} ${writtenBytes}`,
    ])
    await run('qemu-io', '-f', 'raw', ...writes.flat(), file)
    for (let round = 0; round < rounds; round++) {
      const asked = { name: 'imported', size: 2 * GiB }
      const { body } = await product.ask('POST /api/storage/pools/images/uploads', { json: asked })
      const at = `/api/storage/pools/images/uploads/${String(body['id'])}`
      times.sent.push(await timed(() => send(product, at, file)))
      // Each is first every other time: the second one meets what the first has left to write.
      if (round % 2 === 1) times.theirs.push(await timed(convert))
      times.ours.push(await timed(() => demand(product, `POST ${at}/complete`)))
      if (round % 2 === 0) times.theirs.push(await timed(convert))
      await demand(product, 'DELETE /api/storage/pools/images/volumes/imported')
      await rm(byHand)
    }
    const [sent, ours, theirs] = [median(times.sent), median(times.ours), median(times.theirs)]
    return [
      { what: 'an upload of 2 GiB arrives', value: (2 * 1024 * 1000) / sent, unit: 'MiB/s' },
      { what: 'it becomes a volume, checked and with its digest', value: ours, unit: 'ms' },
      { what: 'qemu-img convert -t writeback of the same', value: theirs, unit: 'ms' },
      { what: 'qemu-img over import', value: theirs / ours, unit: 'x', atLeast: 0.9 },
    ]
  } finally {
    await product.stop()
    await stopHosts(join(dir, 'hosts'))
    await rm(dir, { recursive: true, force: true })
  }
}

type Sending = Pick<Awaited<ReturnType<typeof startProduct>>, 'url' | 'token'>

async function send({ url, token }: Sending, at: string, file: string): Promise<void> {
  const opened = await open(file)
  try {
    for (let offset = 0; offset < 2 * GiB; offset += pieceBytes) {
      const body = opened.createReadStream({ start: offset, end: offset + pieceBytes - 1, autoClose: false })
      const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/octet-stream' }
      const init = { method: 'PATCH', headers, body, duplex: 'half' } as unknown as RequestInit
      const answer = await fetch(`${url}${at}?offset=${offset}`, init)
      if (!answer.ok) throw new Error(`PATCH at ${offset}: ${answer.status} ${await answer.text()}`)
      await answer.text()
    }
  } finally {
    await opened.close()
  }
}

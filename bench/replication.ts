import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { hostFor } from '#shared/nodes/host/hosts.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { sendDisk } from '../services/storage/replication/transfer/send-disk.ts'
import { sshTarget, startHosts, stopHosts } from '../test/lab/hosts/hosts.ts'
import { timed } from './demand.ts'
import { median, type Row } from './figures.ts'

const [MiB, rounds] = [2 ** 20, 3]
const dataMiB = 256
const images = '/var/lib/horcrux'
const [source, target] = [`${images}/source.raw`, `${images}/target.raw`]

/** Runs of a replica between two hosts over SSH, compared at the end, against the same bytes through a pipe of `ssh`. */
export async function benchReplication(): Promise<Row[]> {
  const dir = await mkdtemp(join(tmpdir(), 'horcrux-bench-replication-'))
  const labs = await startHosts(join(dir, 'hosts'), 2)
  const [one, two] = labs.map((lab) => hostFor(`bench-${lab.name}`, { kind: 'ssh', ...sshTarget(lab) }))
  const shell = labs.map(
    ({ keyFile, address }) =>
      `ssh -q -i ${keyFile} -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null root@${address}`,
  )
  const imageAt = (path: string) => ({ source: { type: 'file' as const, path }, format: 'raw' })
  const op = { signal: new AbortController().signal, progress: () => undefined }
  const run = () =>
    sendDisk(op, {
      from: { host: one!, original: imageAt(source) },
      to: { host: two!, original: imageAt(target) },
      sizeBytes: dataMiB * MiB,
      bandwidthMib: null,
      within: { before: 0, total: dataMiB * MiB },
    })
  /** The same bytes through the connections that runs use, without a look at them. */
  const ownPipe = async () => {
    const reading = await one!.spawn('cat', [source])
    const writing = await two!.spawn('sh', ['-c', 'cat >"$1" && sync "$1"', 'sh', target])
    writing.stdout.resume()
    await pipeline(reading.stdout, writing.stdin)
    await writing.exit
  }
  const empty = () => two!.runChecked('sh', ['-c', 'rm -f "$1"; truncate -s "$2" "$1"', 'sh', target, `${dataMiB}M`])
  const sum = async (host: typeof one, path: string) =>
    (await host!.runChecked('sha256sum', [path])).stdout.split(' ')[0]!
  try {
    await one!.runChecked('sh', ['-c', 'head -c "$2" /dev/urandom >"$1"', 'sh', source, `${dataMiB}M`])
    const pipe = `set -o pipefail; ${shell[0]} cat ${source} | ${shell[1]} 'cat >${target} && sync ${target}'`
    const times = { pipe: [], own: [], first: [], again: [], changed: [] } as Record<string, number[]>
    for (let round = 0; round < rounds; round++) {
      await empty()
      times['pipe']!.push(await timed(() => localHost().runChecked('bash', ['-c', pipe], { timeoutMs: Infinity })))
      await empty()
      times['own']!.push(await timed(ownPipe))
      await empty()
      times['first']!.push(await timed(run))
      times['again']!.push(await timed(run))
      const change = 'dd if=/dev/urandom of="$1" bs=1M count=16 seek=64 conv=notrunc status=none'
      await one!.runChecked('sh', ['-c', change, 'sh', source])
      times['changed']!.push(await timed(run))
      if ((await sum(one, source)) !== (await sum(two, target))) throw new Error('The replica is another disk')
    }
    const of = (name: string) => median(times[name]!)
    return [
      { what: `${dataMiB} MiB through ssh | ssh`, value: of('pipe'), unit: 'ms' },
      { what: 'the same through the connections of Horcrux', value: of('own'), unit: 'ms' },
      { what: 'first run, written blocks read again', value: of('first'), unit: 'ms' },
      { what: 'first run against the pipe', value: of('first') / of('pipe'), unit: 'x', below: 1.1 },
      { what: 'first run against the connections of Horcrux', value: of('first') / of('own'), unit: 'x' },
      { what: 'run with nothing changed, both ends compared', value: of('again'), unit: 'ms' },
      { what: 'run with 16 MiB changed against the pipe', value: of('changed') / of('pipe'), unit: 'x', below: 1.1 },
    ]
  } finally {
    await stopHosts(join(dir, 'hosts'))
    await rm(dir, { recursive: true, force: true })
  }
}

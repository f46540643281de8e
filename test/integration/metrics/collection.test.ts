import mongoose from 'mongoose'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { monitoring } from '#shared/contracts/metrics/monitoring.ts'
import { pools } from '#shared/contracts/storage/pools.ts'
import { vms } from '#shared/contracts/vm/vms.ts'
import { ringOf } from '../../../services/metrics/collect/subjects.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { freePort } from '#shared/platform/data-folder.ts'
import { type Product, startProduct } from '../../lab/product/product.ts'
import { done } from '../../lab/product/run-operation.ts'
import type { Replica } from '../../lab/product/horcrux.ts'
import { guestOn } from '../../lab/guests/tiny-guest.ts'
import { labHosts } from '../../lab/hosts/lab.ts'
import { available } from '../../lab/requirements.ts'
import { openSocket } from '../../lab/clients/sockets.ts'
import { until } from '../../lab/wait.ts'

const [host] = labHosts
const exporter = 'prometheus-libvirt-exporter'
const lacksExporter = (await localHost().which(exporter)) === null ? [`${exporter} (Debian)`] : []
let product: Product
const call: Product['horcrux']['call'] = (...words) => product.horcrux.call(...words)

beforeAll(async () => {
  product = await startProduct([host!])
  await call(pools, 'create', { id: 'disks', type: 'dir', node: 'hv1', path: '/var/lib/libvirt/images/disks' })
  const boot = await guestOn(host!)
  const disks = [{ pool: 'disks', size: 2 ** 30 }]
  const given = { id: 'busy', name: 'busy', memory: 256, cpus: 1, node: 'hv1', boot, disks, start: true }
  await done(product.horcrux, vms, 'create', given)
})
afterAll(() => product?.stop())

const virsh = async (...words: string[]) =>
  (await localHost().runChecked('virsh', ['-q', '-c', host!.uri, ...words])).stdout
async function domstats(): Promise<Record<string, number>> {
  const pairs = [...(await virsh('domstats', '--nowait', 'busy')).matchAll(/^\s+([\w.-]+)=(\d+)$/gm)]
  const sums: Record<string, number> = {}
  // The sum of all disks: block.0.rd.bytes and block.1.rd.bytes become block.rd.bytes.
  for (const [, name, value] of pairs) {
    const key = name!.replace(/^block\.\d+\./, 'block.')
    sums[key] = (sums[key] ?? 0) + Number(value)
  }
  return sums
}

/** The next sample of a subject after now. */
async function nextSample(subject: `vms/${string}` | `nodes/${string}`): Promise<void> {
  const before = ringOf(subject)?.lastTime() ?? -Infinity
  await until(() => (ringOf(subject)?.lastTime() ?? -Infinity) > before, { what: `a sample of ${subject}` })
}

test.each(['local', 'hv1'])('node %s is measured from /proc, and a number says why it is missing', async (id) => {
  const node = await until(
    async () => {
      const { body } = await product.ask(`GET /api/monitoring/nodes/${id}`)
      return typeof body['cpu_percent'] === 'number' && typeof body['filesystem_size_bytes'] === 'number' && body
    },
    { what: `the processors of ${id}` },
  )
  expect(node).toMatchObject({ source: 'proc', quality: 'fresh', up: 1, reason: null, clock_skew_seconds: 0 })
  const nulls = Object.entries(node).flatMap(([name, value]) => (value === null && name !== 'reason' ? [name] : []))
  expect(nulls.toSorted()).toEqual(Object.keys(node['missing'] as object).toSorted())
})

test('the memory of this machine is that of /proc/meminfo, and its processor time that of /proc/stat', async () => {
  const read = async () => {
    const stat = (await localHost().readFile('/proc/stat')).toString()
    const [user, nice] = /^cpu +(.*)$/m.exec(stat)![1]!.split(' ').map(Number)
    return (user! + nice!) / 100
  }
  const before = await read()
  await nextSample('nodes/local')
  const ring = ringOf('nodes/local')!
  const [measured, after] = [ring.value('cpu_user_seconds'), await read()]
  expect(measured).toBeGreaterThanOrEqual(before)
  expect(measured).toBeLessThanOrEqual(after)
  const meminfo = (await localHost().readFile('/proc/meminfo')).toString()
  expect(ring.value('memory_total_bytes')).toBe(Number(/^MemTotal:\s*(\d+)/m.exec(meminfo)![1]) * 1024)
})

/** Does the sample lie between two readings of another tool? */
const between = (value: number, low: number, high: number) => {
  expect(value).toBeGreaterThanOrEqual(low)
  expect(value).toBeLessThanOrEqual(high)
}

test('the numbers of a guest lie between those of virsh domstats right before and after', async () => {
  const sums: Record<string, string> = {
    disk_read_bytes: 'block.rd.bytes',
    disk_written_bytes: 'block.wr.bytes',
    disk_reads: 'block.rd.reqs',
    disk_writes: 'block.wr.reqs',
  }
  await nextSample('vms/busy')
  const before = await domstats()
  await nextSample('vms/busy')
  const ring = ringOf('vms/busy')!
  const after = await domstats()
  for (const [column, name] of Object.entries(sums)) between(ring.value(column), before[name]!, after[name]!)
  // Microseconds: the rounding of ours.
  between(ring.value('cpu_seconds'), before['cpu.time']! / 1e9 - 1e-6, after['cpu.time']! / 1e9 + 1e-6)
  expect(ring.value('memory_bytes')).toBe(before['balloon.current']! * 1024)
  expect(ring.value('vcpus')).toBe(1)
  const { body } = await product.ask('GET /api/monitoring/vms/busy')
  expect(body).toMatchObject({ source: 'libvirt', quality: 'fresh', node: 'hv1', cpu_percent: expect.any(Number) })
})

test.runIf(available('prometheus', lacksExporter))(
  "the numbers of a guest lie between those of Debian's libvirt exporter right before and after",
  async () => {
    const port = await freePort(0)
    const started = await localHost().spawn(exporter, [
      `--web.listen-address=127.0.0.1:${port}`,
      `--libvirt.uri=${host!.uri}`,
    ])
    started.stdout.resume()
    const columns: Record<string, string> = {
      disk_read_bytes: 'block_stats_read_bytes_total',
      disk_written_bytes: 'block_stats_write_bytes_total',
      disk_reads: 'block_stats_read_requests_total',
      disk_writes: 'block_stats_write_requests_total',
      cpu_seconds: 'info_cpu_time_seconds_total',
    }
    const scrape = async () => {
      const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text()
      const sum = (name: string) =>
        [...text.matchAll(new RegExp(`^libvirt_domain_${name}\\{[^}]*domain="busy"[^}]*\\} (\\S+)$`, 'gm'))].reduce(
          (total, [, value]) => total + Number(value),
          0,
        )
      return Object.fromEntries(Object.entries(columns).map(([column, name]) => [column, sum(name)]))
    }
    // The exporter leaves out CD drives: what the guest has read from its own, at its boot.
    const drive = await virsh('domblkstat', 'busy', 'sdz')
    const inDrive = (name: string) => Number(new RegExp(`^sdz ${name} (\\d+)`, 'm').exec(drive)![1])
    const left: Record<string, number> = { disk_read_bytes: inDrive('rd_bytes'), disk_reads: inDrive('rd_req') }
    try {
      const isThere = async () => ((await scrape())['cpu_seconds'] ?? 0) > 0
      await until(() => isThere().catch(() => false), { what: 'the libvirt exporter' })
      await nextSample('vms/busy')
      const before = await scrape()
      await nextSample('vms/busy')
      const ring = ringOf('vms/busy')!
      const after = await scrape()
      // Microseconds of processor time: the rounding of ours.
      for (const column of Object.keys(columns)) {
        const value = ring.value(column) - (left[column] ?? 0)
        between(value, before[column]! - 1e-6, after[column]! + 1e-6)
      }
    } finally {
      await started.kill()
    }
  },
)

test('a guest of which only the processor could be read has the rest as missing, and says why', async () => {
  const { stdout } = await localHost().runChecked('ip', ['netns', 'pids', host!.netns])
  const pids = stdout.split('\n').filter(Boolean)
  const commands = await Promise.all(
    pids.map(async (pid) =>
      localHost()
        .readFile(`/proc/${pid}/cmdline`)
        .catch(() => ''),
    ),
  )
  const qemu = Number(pids[commands.findIndex((words) => words.toString().includes('guest=busy'))])
  process.kill(qemu, 'SIGSTOP')
  try {
    const seen = await until(
      async () => {
        const { body } = await product.ask('GET /api/monitoring/vms/busy')
        return body['quality'] === 'estimated' && body
      },
      { what: 'a guest that hangs' },
    )
    expect(seen['missing']).toMatchObject({
      memory_rss_bytes: 'not_measured',
      disk_read_bytes_per_second: 'not_measured',
    })
    expect(seen['reason']).toMatch(/memory and disks were not read/)
    // The node is measured all the same.
    await nextSample('nodes/hv1')
  } finally {
    process.kill(qemu, 'SIGCONT')
  }
  await until(async () => (await product.ask('GET /api/monitoring/vms/busy')).body['quality'] === 'fresh')
})

test('a restart of the guest is a mark in the history and no spike', async () => {
  await nextSample('vms/busy')
  await done(product.horcrux, vms, 'stop', { id: 'busy', force: true })
  const stopped = await until(
    async () => {
      const { body } = await product.ask('GET /api/monitoring/vms/busy')
      return body['quality'] === 'missing' && body
    },
    { what: 'a guest that is off' },
  )
  expect(stopped).toMatchObject({ cpu_percent: null, up: 0, missing: { cpu_percent: 'gone' } })
  await done(product.horcrux, vms, 'start', { id: 'busy' })
  await until(async () => (await product.ask('GET /api/monitoring/vms/busy')).body['cpu_percent'] !== null)
  const line = 'GET /api/monitoring/history/cpu_percent?subject=vms/busy&interval=10s'
  const { data, marks } = await call(monitoring, 'history', {
    metric: 'cpu_percent',
    subject: 'vms/busy',
    interval: '10s',
  })
  expect((await product.ask(line)).status).toBe(200)
  expect(marks).toContainEqual({ time: expect.any(String), kind: 'restarted', node: 'hv1' })
  const spikes = data.filter(({ max }) => max !== null && max > 150)
  expect(spikes).toEqual([])
})

test('subscribers receive the metrics of nodes and VMs as events', async () => {
  const first = { topics: ['node:metrics', 'vm:metrics'] }
  const socket = await openSocket(product.url, { headers: { authorization: `Bearer ${product.token}` }, first })
  await socket.next('Subscribed')
  const [node, vm] = [await socket.next('NodeMetrics'), await socket.next('VmMetrics')]
  expect(node.data).toMatchObject({ node_id: expect.any(String), cpu_usage: expect.any(Number), source: 'proc' })
  expect(vm.data).toMatchObject({ vm_id: 'busy', source: 'libvirt' })
  socket.socket.close()
})

test('the processes of a node are measured on demand', async () => {
  const { data, total } = await call(monitoring, 'processes', { id: 'local', limit: 5 })
  expect(data).toHaveLength(5)
  expect(total).toBeGreaterThan(5)
  const own = await call(monitoring, 'processes', { id: 'local', limit: 1000 })
  const self = own.data.find(({ pid }) => pid === process.pid)!
  expect(self).toMatchObject({ name: expect.stringMatching(/node|vitest|Main/), cpu_percent: expect.any(Number) })
})

test('bad questions are refused with every mistake, and unknown things are not found', async () => {
  const line =
    'GET /api/monitoring/history/no_such?subject=vms/busy&start=2026-01-02T00:00:00Z&end=2026-01-01T00:00:00Z&width=5&interval=1m'
  const refused = await product.ask(line)
  expect(refused.status).toBe(422)
  const fields = (refused.body['violations'] as { field: string }[]).map(({ field }) => field)
  expect(fields).toEqual(['metric', 'start', 'width'])
  expect((await product.ask('GET /api/monitoring/vms/none')).status).toBe(404)
  expect((await product.ask('GET /api/monitoring/history/up?subject=pools/x')).status).toBe(422)
})

test('another replica takes over the nodes of one that is killed, with the samples of before', async () => {
  const holderOf = async () => {
    const found = await mongoose.connection.db!.collection('metric_leases').findOne({ _id: 'node hv1' as never })
    return String((found?.['lease'] as { holder?: string } | null)?.holder).split('/')[0]
  }
  const replicas: Replica[] = []
  const own = product.horcrux.broker.nodeID
  replicas.push(await product.horcrux.startReplica('metrics'))
  // This process has the lease; it gives it up as a process does that hangs.
  await mongoose.connection
    .db!.collection('metric_leases')
    .updateMany({}, { $set: { lease: null }, $inc: { epoch: 1 } })
  await until(async () => (await holderOf()) !== 'undefined' && (await holderOf()) !== 'null', { what: 'a new holder' })
  const first = await holderOf()
  expect([own, replicas[0]!.nodeId]).toContain(first)
  await nextSample('nodes/hv1')
  // Whichever has it, this process hears its samples; then the other process is killed.
  await replicas[0]!.kill()
  await until(async () => (await holderOf()) === own, { what: 'this process to have the lease' })
  await nextSample('nodes/hv1')
  expect(ringOf('nodes/hv1')!.size()).toBeGreaterThan(2)
})

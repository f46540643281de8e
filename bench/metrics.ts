import { columnNames } from '#shared/contracts/metrics/catalog.ts'
import { localReader } from '../services/metrics/sources/node-source.ts'
import { nodeValues } from '../services/metrics/sources/proc.ts'
import { subjectsText } from '../services/metrics/exposition/page.ts'
import { chunkOf, type SubjectName, tableOf, tiers } from '../services/metrics/history/chunks.ts'
import { createRing, type Ring } from '../services/metrics/history/ring.ts'
import { createBuckets, evenEdges, rollUpBuckets, rollUpTable } from '../services/metrics/history/roll-up.ts'
import { concat } from '../services/metrics/history/table.ts'
import { median, type Row } from './figures.ts'

const intervalMs = 10_000
const begin = Date.parse('2026-05-01T00:00:00Z')
const dayMs = 86_400_000

/** A number between 0 and 1 that is the same in each run. */
function randomOf(seed: number): () => number {
  let state = seed
  return () => (state = (state * 1_103_515_245 + 12_345) % 2 ** 31) / 2 ** 31
}

/** Guests as libvirt shows them: most are idle, some work. */
function createGuests(count: number, random: () => number) {
  const counters = Array.from({ length: count }, () => ({ cpu: 0, read: 0, written: 0, received: 0, sent: 0 }))
  const rings = counters.map(() => createRing(columnNames('vms'), 80))
  const push = (time: number) => {
    for (const [number, counter] of counters.entries()) {
      const isBusy = number % 5 === 0
      counter.cpu += Math.round((isBusy ? 6e6 : 40_000) * random()) / 1e6
      counter.read += isBusy ? Math.floor(random() * 1e6) * 512 : 0
      counter.written += Math.floor(random() * 20) * 4096
      counter.received += Math.floor(random() * 2000)
      counter.sent += isBusy ? Math.floor(random() * 1e6) : 0
      rings[number]!.push({
        time,
        steady: time,
        identity: { id: 'run', node: 'n' },
        source: 'bench',
        quality: 'fresh',
        values: {
          up: 1,
          vcpus: 2,
          cpu_seconds: counter.cpu,
          memory_bytes: 2 ** 31,
          memory_rss_bytes: 2 ** 30 + number * 4096 + (isBusy ? Math.floor(random() * 1000) * 4096 : 0),
          disk_read_bytes: counter.read,
          disk_written_bytes: counter.written,
          disk_reads: Math.floor(counter.read / 4096),
          disk_writes: counter.written / 4096,
          network_received_bytes: counter.received,
          network_sent_bytes: counter.sent,
        },
      })
    }
  }
  return { rings, push }
}

const cpuMs = () => {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1000
}

function timed(times: number, work: () => unknown): number {
  work()
  return median(
    Array.from({ length: times }, () => {
      // Processor time: other processes of the machine do not count.
      const start = cpuMs()
      work()
      return cpuMs() - start
    }),
  )
}

/** Closes the window of a ring: its chunk, and the roll-ups of both tiers. */
function close(subject: SubjectName, ring: Ring, start: number) {
  const rows = ring.table(start, start + tiers.raw.chunkMs)
  const samples = ring.table(start - 30_000, start + tiers.raw.chunkMs)
  const raw = chunkOf(subject, 'raw', start, rows)
  for (const tier of ['minute', 'ten_minutes'] as const)
    chunkOf(
      subject,
      tier,
      start,
      rollUpTable('vms', samples, intervalMs, [start, start + tiers.raw.chunkMs], tiers[tier].rowMs),
    )
  return { raw, samples: rows.length * ring.columns.length }
}

/** The cost of samples, chunks and pages, without the store. Times depend on the machine. */
export async function benchMetrics(): Promise<Row[]> {
  const reader = localReader()
  const node = await timedAsync(200, async () => nodeValues(await reader.read()))
  reader.close()
  return [
    { what: 'a sample of this node from /proc', value: node, unit: 'ms', below: 1 },
    ...fleetRows(),
    ...seriesRows(),
    ...pageRows(),
  ]
}

async function timedAsync(times: number, work: () => Promise<unknown>): Promise<number> {
  await work()
  const all: number[] = []
  for (let count = 0; count < times; count++) {
    const start = cpuMs()
    await work()
    all.push(cpuMs() - start)
  }
  return median(all)
}

/** 24 virtual hours of 500 guests, and what 50 guests cost of a core in real time. */
function fleetRows(): Row[] {
  const guests = 500
  globalThis.gc?.()
  const heapBefore = process.memoryUsage()
  const { rings, push } = createGuests(guests, randomOf(1))
  const cpuBefore = cpuMs()
  let [bytes, samples] = [0, 0]
  for (let time = begin; time < begin + dayMs; time += intervalMs) {
    push(time)
    if ((time + intervalMs) % tiers.raw.chunkMs !== 0) continue
    const start = time + intervalMs - tiers.raw.chunkMs
    for (const [number, ring] of rings.entries()) {
      const closed = close(`vms/g${number}`, ring, start)
      bytes += closed.raw.bytes
      samples += closed.samples
    }
  }
  const spentMs = cpuMs() - cpuBefore
  const after = process.memoryUsage()
  const ringBytes = rings.length * rings[0]!.columns.length * 80 * 8
  return [
    { what: '24 hours of 500 guests, sampled and rolled up', value: spentMs / 1000, unit: 's', below: 120 },
    {
      what: 'of a core for 50 guests, without libvirt and the store',
      value: (spentMs / dayMs / 10) * 100,
      unit: '%',
      below: 1,
    },
    { what: 'rings of 50 guests', value: ringBytes / 10 / 2 ** 20, unit: 'MB', below: 10 },
    {
      what: 'array buffers after that day, for 500 guests',
      value: (after.arrayBuffers - heapBefore.arrayBuffers) / 2 ** 20,
      unit: 'MB',
    },
    { what: 'bytes of a sample in a raw chunk', value: bytes / samples, unit: 'B', below: 2 },
  ]
}

/** One metric of 1,000 subjects over a day, from chunks of ten minutes. */
function seriesRows(): Row[] {
  const { rings, push } = createGuests(1, randomOf(2))
  const parts = []
  for (let time = begin; time < begin + dayMs; time += intervalMs) {
    push(time)
    if ((time + intervalMs) % tiers.raw.chunkMs !== 0) continue
    const start = time + intervalMs - tiers.raw.chunkMs
    const span = [start, start + tiers.raw.chunkMs] as const
    parts.push(rollUpTable('vms', rings[0]!.table(start - 30_000, span[1]), intervalMs, span, tiers.ten_minutes.rowMs))
  }
  const chunk = chunkOf('vms/x', 'ten_minutes', begin, concat(parts))
  const wanted = new Set(['min', 'max', 'sum', 'weight'].map((part) => `cpu_percent.${part}`))
  const edges = evenEdges(begin, begin + dayMs, 3_600_000)
  const value = timed(5, () => {
    for (let count = 0; count < 1000; count++)
      rollUpBuckets(tableOf(chunk, wanted), 'cpu_percent', edges, createBuckets(edges.length - 1))
  })
  return [{ what: '1,000 series over a day, decoded and put into hours', value, unit: 'ms', below: 50 }]
}

function pageRows(): Row[] {
  const { rings, push } = createGuests(2000, randomOf(3))
  push(begin)
  push(begin + intervalMs)
  const all = rings.map((ring, number) => ({
    subject: `vms/0198d1c5-7b1e-7000-8000-${String(number).padStart(12, '0')}` as const,
    ring,
    info: { name: `web-${number}`, node: 'local' },
  }))
  const page = () => subjectsText('vms', all, 'openmetrics', begin + intervalMs)
  return [
    { what: 'the page of 2,000 VMs', value: timed(20, page), unit: 'ms', below: 20 },
    { what: 'its size', value: page().length / 2 ** 20, unit: 'MB' },
  ]
}

import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Collection, Document } from 'mongodb'
import { connectTo, spawnStore } from '../test/system/process.ts'

/*
 * Prints how fast the store is, through the real driver against the store as its own process: `node bench/speed.ts`.
 * Each time is the best of a few series' medians, so that other load of the machine counts less.
 */
const folder = await mkdtemp(join(tmpdir(), 'horcrux-speed-'))
const running = await spawnStore(folder)
const client = await connectTo(running)

const residentMb = async (): Promise<number> => {
  const status = await readFile(`/proc/${running.child.pid}/status`, 'utf8')
  return Math.round(Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) / 1024)
}

const medianMs = async (times: number, work: (i: number) => Promise<unknown>): Promise<number> => {
  const series: number[] = []
  for (let round = 0; round < 5; round++) {
    const taken: number[] = []
    for (let i = 0; i < times; i++) {
      const startMs = performance.now()
      await work(round * times + i)
      taken.push(performance.now() - startMs)
    }
    series.push(taken.sort((a, b) => a - b)[times >> 1] as number)
  }
  return Math.min(...series)
}

const text = (ms: number): string => `${ms.toFixed(2)} ms`

const fill = async (
  collection: Collection<Document & { _id: string }>,
  count: number,
  make: (i: number) => Document,
): Promise<number> => {
  const startMs = performance.now()
  for (let from = 0; from < count; from += 1000)
    await collection.insertMany(
      Array.from({ length: 1000 }, (_, i) => ({ _id: `id${String(from + i).padStart(8, '0')}`, ...make(from + i) })),
    )
  return Math.round(count / ((performance.now() - startMs) / 1000))
}

const lists = async (): Promise<void> => {
  const vms = client.db().collection<Document & { _id: string }>('vms')
  await vms.createIndex({ name: 1 }, { unique: true })
  await vms.createIndex({ created_at: -1, _id: -1 })
  const perSecond = await fill(vms, 100_000, (i) => ({
    name: `vm-${i}`,
    created_at: new Date(1_700_000_000_000 + i * 1000),
    state: i % 3 ? 'running' : 'stopped',
    labels: { team: `t${i % 20}`, env: 'prod' },
    disks: [{ id: `d${i}`, bytes: 10_737_418_240, pool: 'default' }],
  }))
  const byName = await medianMs(300, (i) => vms.findOne({ name: `vm-${(i * 7919) % 100_000}` }))
  const byId = await medianMs(300, (i) => vms.findOne({ _id: `id${String((i * 7919) % 100_000).padStart(8, '0')}` }))
  const page = await medianMs(50, (i) =>
    vms
      .find({ _id: { $gt: `id${String((i * 7919) % 99_000).padStart(8, '0')}` } })
      .sort({ _id: 1 })
      .limit(100)
      .toArray(),
  )
  const recent = await medianMs(50, (i) =>
    vms
      .find({ created_at: { $lt: new Date(1_700_000_000_000 + ((i * 7919) % 99_000) * 1000 + 1_000_000) } })
      .sort({ created_at: -1, _id: -1 })
      .limit(100)
      .toArray(),
  )
  const count = await medianMs(10, () => vms.countDocuments({}))
  const scanned = await medianMs(1, () => vms.countDocuments({ 'labels.team': 't3' }))
  console.log(
    `100,000 documents: insertMany ${perSecond}/s; find by name ${text(byName)}, by _id ${text(byId)}; page of 100 by _id ${text(page)}, by created_at ${text(recent)}; count ${text(count)}; scan ${text(scanned)}; RSS ${await residentMb()} MB`,
  )
}

const singleWrites = async (): Promise<void> => {
  const writes = client.db().collection<{ _id: string }>('writes')
  const alone = await medianMs(100, (i) => writes.insertOne({ _id: `alone${i}` }))
  const perSecond = async (clients: number): Promise<number> => {
    const startMs = performance.now()
    const one = async (name: number): Promise<void> => {
      for (let i = 0; i < 100; i++) await writes.insertOne({ _id: `${clients}-${name}-${i}` })
    }
    await Promise.all(Array.from({ length: clients }, (_, name) => one(name)))
    return Math.round((clients * 100) / ((performance.now() - startMs) / 1000))
  }
  const [one, many] = [await perSecond(1), await perSecond(32)]
  console.log(`single inserts: ${text(alone)}; ${one}/s from one client, ${many}/s from 32`)
}

const readsDuringWrites = async (): Promise<void> => {
  const vms = client.db().collection<Document & { _id: string }>('vms')
  const bulk = client.db().collection<Document & { _id: string }>('bulk')
  let done = false
  const writing = fill(bulk, 40_000, (i) => ({ i, text: 'x'.repeat(200) })).then(() => (done = true))
  const taken: number[] = []
  while (!done) {
    const startMs = performance.now()
    await vms.findOne({ name: 'vm-77' })
    taken.push(performance.now() - startMs)
  }
  await writing
  taken.sort((a, b) => a - b)
  console.log(
    `reads while 40,000 documents are written: median ${text(taken[taken.length >> 1] as number)}, p99 ${text(taken[Math.floor(taken.length * 0.99)] as number)}`,
  )
}

const auditRecords = async (): Promise<void> => {
  const audit = client.db().collection<Document & { _id: string }>('audit')
  await audit.createIndex({ at: -1, _id: -1 })
  await audit.createIndex({ actor: 1, at: -1 })
  const perSecond = await fill(audit, 200_000, (i) => ({
    at: new Date(1_700_000_000_000 + i * 10),
    actor: `user${i % 50}`,
    event: 'vm_started',
    resource: `/api/vms/vm-${i % 1000}`,
    ip: '192.0.2.1',
    outcome: 'success',
    details: { before: { state: 'stopped' }, after: { state: 'running' }, request: `req-${i}` },
    previous: 'a'.repeat(64),
    hash: 'b'.repeat(64),
  }))
  const afterWrite = await residentMb()
  let read = 0
  for await (const _ of audit.find().sort({ at: -1, _id: -1 })) read++
  const groups = await audit.aggregate([{ $group: { _id: '$actor', n: { $sum: 1 } } }]).toArray()
  const page = await medianMs(50, (i) =>
    audit
      .find({ actor: `user${i % 50}` })
      .sort({ at: -1 })
      .limit(100)
      .toArray(),
  )
  const resident = await residentMb()
  console.log(
    `200,000 audit records: ${perSecond}/s; all ${read} read, ${groups.length} groups; page of an actor ${text(page)}; RSS ${afterWrite} MB after writing, ${resident} MB after reading all and grouping`,
  )
}

console.log(`started: RSS ${await residentMb()} MB`)
for (const measure of [lists, singleWrites, readsDuringWrites, auditRecords]) await measure()
await client.close(true)
running.child.kill('SIGTERM')
await running.ended
await rm(folder, { recursive: true, force: true })

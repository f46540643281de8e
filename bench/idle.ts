import autocannon from 'autocannon'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { startChild } from '#shared/nodes/host/child.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { freePort } from '#shared/platform/data-folder.ts'
import { ask } from '../test/lab/clients/http.ts'
import type { Row } from './figures.ts'
import { childrenOf, type Sample, sampleOf, sharedFilesMb } from './processes.ts'

const program = fileURLToPath(new URL('../bin/horcrux.js', import.meta.url))
const root = fileURLToPath(new URL('..', import.meta.url))
const password = 'Sonnenblume-7'
const measuredSeconds = 60
const requests = 10_000

type Processes = Record<'services' | 'store' | 'bus', Sample>
type Figures = { memory: Processes; cores: Record<keyof Processes, number> }

/**
 * The cost of a Horcrux without guests: memory and CPU of its processes while nobody asks for anything, before and after
 * 10,000 lists. Starts the product as `npm start` does, on a folder and ports of its own. Memory is the sum of the anonymous
 * pages and of the mapped files, each counted once: the PSS of a machine where no other process maps them.
 */
export async function benchIdle(): Promise<Row[]> {
  const dir = await mkdtemp(join(tmpdir(), 'horcrux-idle-'))
  const port = await freePort(0)
  const url = `http://127.0.0.1:${port}`
  const env = {
    PATH: process.env['PATH'] ?? '',
    HORCRUX_DATA: dir,
    HORCRUX_PORT: String(port),
    HORCRUX_ADMIN_PASSWORD: password,
    HORCRUX_RATE_LIMIT: '0',
    HORCRUX_LOG_LEVEL: 'warn',
  }
  const isReady = async () => (await ask(url, 'GET /readyz').catch(() => undefined))?.status === 200
  const horcrux = await startChild(localHost(), process.execPath, [program, 'start'], {
    env,
    cwd: root,
    timeoutMs: 60_000,
    ready: async (_, signal) => {
      while (!signal.aborted && !(await isReady())) await sleep(200)
    },
  })
  try {
    const pid = Number(await readFile(join(dir, 'run', 'horcrux.pid'), 'utf8'))
    const before = await measured(pid)
    await lists(url)
    const after = await measured(pid)
    return rowsOf(before, after)
  } finally {
    await horcrux.kill()
    await rm(dir, { recursive: true, force: true })
  }
}

async function processesOf(pid: number): Promise<Processes> {
  const children = [...(await childrenOf(pid))]
  const child = (word: string) => {
    const found = children.find(([, words]) => words.includes(word))
    if (!found) throw new Error(`Horcrux has no child process ${word}`)
    return sampleOf(found[0])
  }
  const [services, store, bus] = await Promise.all([sampleOf(pid), child('embedded-store'), child('nats-server')])
  return { services, store, bus }
}

const names = ['services', 'store', 'bus'] as const
const byName = <T>(of: (name: keyof Processes) => T) =>
  Object.fromEntries(names.map((name) => [name, of(name)])) as Record<keyof Processes, T>

const coresBetween = (from: Processes, to: Processes, seconds: number) =>
  byName((name) => (to[name].cpuSeconds - from[name].cpuSeconds) / seconds)

/** Waits until five seconds have cost less than a tenth of a core, a minute at most; then measures. */
async function measured(pid: number): Promise<Figures> {
  for (let tries = 0; tries < 12; tries++) {
    const from = await processesOf(pid)
    await sleep(5000)
    const cores = coresBetween(from, await processesOf(pid), 5)
    if (names.reduce((sum, name) => sum + cores[name], 0) < 0.1) break
  }
  const from = await processesOf(pid)
  const since = performance.now()
  await sleep(measuredSeconds * 1000)
  const memory = await processesOf(pid)
  return { memory, cores: coresBetween(from, memory, (performance.now() - since) / 1000) }
}

/** Asks for lists, over ten connections, as fast as they are answered. */
async function lists(url: string): Promise<void> {
  const { body } = await ask(url, 'POST /api/auth/login', { json: { username: 'admin', password } })
  const headers = { authorization: `Bearer ${String(body['token'])}` }
  const paths = ['/api/vms?limit=100', '/api/cluster/nodes', '/api/storage/pools', '/api/operations?limit=100']
  const result = await autocannon({
    url,
    amount: requests,
    connections: 10,
    workers: 1,
    requests: paths.map((path) => ({ path, headers })),
  })
  if (result.non2xx + result.errors > 0) throw new Error(`${result.non2xx + result.errors} lists were not answered`)
}

const samplesOf = (processes: Processes) => names.map((name) => processes[name])
const totalMb = ({ memory }: Figures) =>
  samplesOf(memory).reduce((total, { ownMb }) => total + ownMb, sharedFilesMb(samplesOf(memory)))

function rowsOf(before: Figures, after: Figures): Row[] {
  const rows: Row[] = []
  const memory = (what: string, found: Figures) => {
    for (const name of names) rows.push({ what: `${what}, ${name}`, value: found.memory[name].ownMb, unit: 'MB' })
    rows.push({ what: `${what}, files that they map`, value: sharedFilesMb(samplesOf(found.memory)), unit: 'MB' })
    rows.push({ what: `${what}, all`, value: totalMb(found), unit: 'MB', below: 200 })
  }
  const cpu = (what: string, { cores }: Figures) => {
    for (const name of names) rows.push({ what: `${what}, ${name}`, value: cores[name] * 100, unit: '%' })
    const all = names.reduce((total, name) => total + cores[name], 0)
    rows.push({ what: `${what}, all`, value: all * 100, unit: '%', below: 1 })
  }
  memory('memory at rest', before)
  cpu('of a core at rest', before)
  memory('memory after 10,000 lists', after)
  cpu('of a core after 10,000 lists', after)
  const growth = totalMb(after) / totalMb(before)
  rows.push({ what: 'memory after 10,000 lists, against before', value: growth, unit: 'x', below: 1.1 })
  for (const name of names) rows.push({ what: `threads, ${name}`, value: after.memory[name].threads, unit: '' })
  return rows
}

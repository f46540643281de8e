import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { startChild } from '#shared/nodes/host/child.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { freePort } from '#shared/platform/data-folder.ts'
import { apiClient } from '../bin/api-client.ts'
import { ask } from '../test/lab/clients/http.ts'
import type { Row } from './figures.ts'
import { measurePage, type PageFigures } from './fleet-page.ts'
import { medianOf } from './load.ts'
import { sampleOf } from './processes.ts'

const program = fileURLToPath(new URL('../bin/horcrux.js', import.meta.url))
const root = fileURLToPath(new URL('..', import.meta.url))
/** The smallest fleet is what the others are compared with. */
const sizes = [100, 1000, 10_000] as const
const kib = 1024
/** Some fields, as the lists of the page have them. */
const listFields = 'id,name,status,node,memory,cpus,tags'

type Figures = PageFigures & { vms: number; pageMs: number; searchMs: number; ownMb: number }

/**
 * The budgets of the page and of the lists, on simulated fleets of 100, 1,000 and 10,000 VMs that change by themselves.
 * Bytes, requests, elements and memory hold on every machine; times hold on an idle one, and ratios of one run on both.
 */
export async function benchFleet(): Promise<Row[]> {
  const [small, middle, large] = [await measured(sizes[0]), await measured(sizes[1]), await measured(sizes[2])]
  const most = (what: string, value: number, unit: string, below: number): Row => ({ what, value, unit, below })
  /** A time with each fleet: within its limit, and against the smallest fleet. */
  const times = (what: string, of: (figures: Figures) => number, limits: [number, number]): Row[] =>
    [middle, large].flatMap((fleet, index) => [
      most(`${what}, ${fleet.vms} VMs`, of(fleet), 'ms', limits[index]!),
      { what: `${what}, ${fleet.vms} VMs against ${small.vms}`, value: of(fleet) / of(small), unit: 'x' },
    ])
  return [
    most('sign-in page: scripts and styles', middle.signIn.codeBytes / kib, 'KiB', 40),
    most('sign-in page: requests', middle.signIn.requests, '', 7),
    most('list of 1,000 VMs: scripts and styles', middle.list.codeBytes / kib, 'KiB', 100),
    most('list of 1,000 VMs: requests', middle.list.requests, '', 13),
    most('list of 1,000 VMs: JSON of the list', middle.list.listBytes / kib, 'KiB', 30),
    most('first rows, 1,000 VMs against 100', middle.firstRowsMs / small.firstRowsMs, 'x', 1.5),
    most('first rows, 10,000 VMs against 100', large.firstRowsMs / small.firstRowsMs, 'x', 2),
    ...times('a search from its last key until its result is painted', ({ keyMs }) => keyMs, [350, 400]),
    ...times('server: a page of 50, sorted by name', ({ pageMs }) => pageMs, [100, 100]),
    ...times('server: a search by words', ({ searchMs }) => searchMs, [100, 100]),
    most('elements of the page with 1,000 VMs', middle.elements, '', 1501),
    most('elements of the page with 10,000 VMs', large.elements, '', 1501),
    most('heap of the page with 1,000 VMs', middle.heapMib, 'MiB', 25),
    most('heap of the page with 10,000 VMs', large.heapMib, 'MiB', 60),
    ...[small, middle, large].map(({ vms, ownMb }) => ({
      what: `own memory of the process of all services, ${vms} VMs`,
      value: ownMb,
      unit: 'MB',
    })),
  ]
}

/** Starts a fleet in a folder and on a port of its own, and measures it. */
async function measured(vms: number): Promise<Figures> {
  const dir = await mkdtemp(join(tmpdir(), 'horcrux-bench-fleet-'))
  const data = join(dir, 'data')
  const port = await freePort(0)
  const url = `http://127.0.0.1:${port}`
  const isReady = async () => (await ask(url, 'GET /readyz').catch(() => undefined))?.status === 200
  const words = [program, 'demo', '--fleet', String(vms), '--data', data]
  const fleet = await startChild(localHost(), process.execPath, words, {
    env: { PATH: process.env['PATH'] ?? '', HORCRUX_PORT: String(port), HORCRUX_RATE_LIMIT: '0' },
    cwd: root,
    timeoutMs: 180_000,
    ready: async (_, signal) => {
      while (!signal.aborted && !(await isReady())) await sleep(200)
    },
  })
  try {
    const password = (await readFile(join(data, 'admin-password'), 'utf8')).trim()
    const { token } = await apiClient(url).send<{ token: string }>('POST', '/auth/login', {
      username: 'admin',
      password,
    })
    const headers = { authorization: `Bearer ${token}` }
    const median = (query: string) => medianOf(`${url}/api/vms?${query}`, headers, 20)
    const pageMs = await median(`limit=50&sort=name&fields=${listFields}`)
    const searchMs = await median(`limit=50&q=prod%20000&fields=${listFields}`)
    const page = await measurePage(url, password)
    const pid = Number(await readFile(join(data, 'run', 'horcrux.pid'), 'utf8'))
    return { ...page, vms, pageMs, searchMs, ownMb: (await sampleOf(pid)).ownMb }
  } finally {
    await fleet.kill()
    await rm(dir, { recursive: true, force: true })
  }
}

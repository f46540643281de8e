import { chmod, mkdir, mkdtemp, rm } from 'node:fs/promises'
import { createConnection } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type Docker from 'dockerode'
import { Agent } from 'undici'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { type DockerApi, dockerApi } from '#shared/nodes/docker/client.ts'
import { apiOver } from '#shared/nodes/lxd/client.ts'
import { exec as dockerExec } from '../services/container/drivers/docker/exec.ts'
import { logLines } from '../services/container/drivers/docker/logs.ts'
import { exec as lxcExec } from '../services/container/drivers/lxc/exec.ts'
import { capture } from '../services/container/exec/capture.ts'
import { select } from '../services/container/logs/select.ts'
import { sampleAll } from '../services/container/stats/measure.ts'
import { readLocal } from '../services/container/stats/read.ts'
import { sourceOf } from '../test/lab/containers/source.ts'
import { type LabEngines, startEngines } from '../test/lab/containers/start.ts'
import { fetchEngines } from '../test/lab/hosts/engines.ts'
import { stopEngines } from '../test/lab/containers/stop.ts'
import { type Product, startProduct } from '../test/lab/product/product.ts'
import { until } from '../test/lab/wait.ts'
import { demand, timed } from './demand.ts'
import { median, type Row } from './figures.ts'

const host = localHost()
const rounds = 15
const perEngine = 10
const logLineCount = 100_000
/** One reading of such a log takes an engine seconds. */
const logRounds = 5

const nothing = { env: {}, user: null, terminal: null, hasInput: false }

/** Two kinds of work in turn: medians of both. */
async function inTurn(
  ours: () => Promise<unknown>,
  theirs: () => Promise<unknown>,
  times = rounds,
): Promise<[number, number]> {
  const [mine, other]: [number[], number[]] = [[], []]
  for (let round = 0; round < times; round++) {
    mine.push(await timed(ours))
    other.push(await timed(theirs))
  }
  return [median(mine), median(other)]
}

/** A command by the bare API: created, started, read to its end, inspected. */
async function bareExec(docker: Docker, id: string): Promise<void> {
  const made = await docker.getContainer(id).exec({ Cmd: ['true'], AttachStdout: true, AttachStderr: true })
  const stream = await made.start({ hijack: true, stdin: false })
  stream.resume()
  await new Promise((resolve) => stream.on('end', resolve).on('close', resolve))
  await made.inspect()
}

async function commands(api: DockerApi, engineId: string, { dir }: LabEngines): Promise<Row[]> {
  const [ours, bare] = await inTurn(
    async () => capture(await dockerExec(api, engineId, { ...nothing, command: ['true'] })),
    () => api.change((docker) => bareExec(docker, engineId)),
  )
  const lxc = { host, folder: join(dir, 'lxc'), name: 'bench-lxc-0' }
  const [oursLxc, attach] = await inTurn(
    async () => capture(await lxcExec(lxc, { ...nothing, command: ['true'] })),
    () => host.runChecked('lxc-attach', [`--lxcpath=${lxc.folder}`, `--name=${lxc.name}`, '--', 'true']),
  )
  return [
    { what: 'exec of true, Docker driver', value: ours, unit: 'ms' },
    { what: 'exec, Docker driver over bare API', value: ours / bare, unit: 'x', below: 1.15 },
    { what: 'exec of true, LXC driver', value: oursLxc, unit: 'ms' },
    { what: 'exec, LXC driver over lxc-attach', value: oursLxc / attach, unit: 'x', below: 1.3 },
  ]
}

/** Reads everything that a socket sends for a request, and keeps nothing. */
function rawCopy(socket: string, path: string): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const connection = createConnection(socket, () => connection.write(`GET ${path} HTTP/1.0\r\nHost: engine\r\n\r\n`))
  connection.on('error', reject).on('end', resolve).resume()
  return promise
}

async function logs(api: DockerApi, socket: string): Promise<Row[]> {
  const command = ['/bin/sh', '-c', `seq 1 ${logLineCount}`]
  const { id } = await api.change((docker) => docker.createContainer({ Image: 'tiny', Cmd: command }))
  await api.change((docker) => docker.getContainer(id).start())
  await api.change((docker) => docker.getContainer(id).wait())
  const wanted = { after: null, since: null, until: null, isTail: true, count: 1000 }
  const how = { sinceSeconds: null, tailFragments: null }
  const [ours, raw] = await inTurn(
    () =>
      select(
        logLines('docker', async () => api, id, how),
        wanted,
      ),
    () => rawCopy(socket, `/containers/${id}/logs?stdout=1&stderr=1&timestamps=1`),
    logRounds,
  )
  await api.change((docker) => docker.getContainer(id).remove())
  return [
    { what: `the last 1,000 of ${logLineCount} lines of a log`, value: ours, unit: 'ms' },
    { what: 'throughput of a log, over a raw copy of the socket', value: raw / ours, unit: 'x', atLeast: 0.8 },
  ]
}

/** The own call of each engine for the list of its containers; LXC has only its tools. */
const ownCalls = ({ config }: LabEngines): [string, () => Promise<unknown>][] => [
  ...(['docker', 'podman'] as const).map((kind): [string, () => Promise<unknown>] => {
    const { socket } = config[kind]!
    const api = dockerApi(kind, host, socket, socket)
    return [kind, () => api.ask((docker) => docker.listContainers({ all: true }))]
  }),
  ...(['lxd', 'incus'] as const).map((kind): [string, () => Promise<unknown>] => {
    const { socket: socketPath } = config[kind]!
    const api = apiOver(kind, { dispatcher: new Agent({ connect: { socketPath } }), socketPath })
    return [kind, () => api.get('/1.0/instances?recursion=1')]
  }),
]

async function lists(product: Product, engines: LabEngines): Promise<Row[]> {
  const get = async (path: string) => {
    const { status } = await product.ask(`GET ${path}?limit=1000`)
    if (status !== 200) throw new Error(`the list answered ${status}`)
  }
  const list = () => get('/api/containers')
  const calls: [string, number, number][] = []
  for (const [name, call] of ownCalls(engines)) calls.push([name, ...(await inTurn(list, call))])
  const [slowest, ours, theirs] = calls.reduce((one, two) => (two[2] > one[2] ? two : one))
  const rows: Row[] = [
    { what: `list of ${perEngine * engines.engines.length} containers of all engines`, value: ours, unit: 'ms' },
    { what: `list, over the slowest engine's own API call (${slowest})`, value: ours / theirs, unit: 'x', below: 2 },
  ]
  for (const { what, command, env } of commandLines(engines)) {
    const isStats = command.includes('stats')
    const own = isStats ? () => get('/api/monitoring/containers') : list
    const [program, ...words] = command
    const [mine, other] = await inTurn(own, () => host.runChecked(program, words, { env }), isStats ? 3 : rounds)
    rows.push({ what: `${what}, over the list`, value: other / mine, unit: 'x', atLeast: isStats ? 100 : 8 })
  }
  return rows
}

type CommandLine = { what: string; command: [string, ...string[]]; env?: Record<string, string> }

/** The engines' own tools that list containers, or tell their figures. */
function commandLines({ config, dir }: LabEngines): CommandLine[] {
  const remote = { docker: '-H', podman: '--url' }
  const cli = (kind: 'docker' | 'podman', ...words: string[]): [string, ...string[]] => [
    kind,
    remote[kind],
    `unix://${config[kind]!.socket}`,
    ...words,
  ]
  const root = join(dir, 'root')
  const incus = {
    INCUS_SOCKET: config.incus!.socket,
    INCUS_CONF: join(dir, 'incus-client'),
    LD_LIBRARY_PATH: join(root, 'usr/lib', `${process.arch === 'x64' ? 'x86_64' : 'aarch64'}-linux-gnu`),
  }
  return [
    { what: 'docker ps', command: cli('docker', 'ps', '--all') },
    { what: 'podman ps', command: cli('podman', 'ps', '--all') },
    { what: 'lxc-ls --fancy', command: ['lxc-ls', `--lxcpath=${join(dir, 'lxc')}`, '--fancy'] },
    {
      what: 'lxc list',
      command: ['lxc', 'list'],
      env: { LXD_SOCKET: config.lxd!.socket, LXD_CONF: join(dir, 'lxd-client') },
    },
    { what: 'incus list', command: [join(root, 'usr/bin/incus'), 'list'], env: incus },
    { what: 'docker stats', command: cli('docker', 'stats', '--no-stream') },
  ]
}

/** The cost of watching containers: each of those that run is measured so often as makes a hundred, every ten seconds. */
async function watching(product: Product): Promise<Row[]> {
  const { body } = await product.ask('GET /api/containers?limit=1000')
  const running = (body['data'] as { id: string; pid: number | null }[]).flatMap(({ id, pid }) =>
    pid === null ? [] : [{ id, pid, sharesNetwork: false }],
  )
  const hundred = Array.from({ length: 100 }, (_, index) => running[index % running.length]!)
  await sampleAll(host, readLocal, hundred)
  global.gc?.()
  const before = process.memoryUsage().heapUsed
  const kept: unknown[] = []
  const costs: number[] = []
  for (let round = 0; round < rounds; round++) {
    const start = process.cpuUsage()
    kept[0] = await sampleAll(host, readLocal, hundred)
    const { user, system } = process.cpuUsage(start)
    costs.push((user + system) / 1000)
  }
  global.gc?.()
  const grown = process.memoryUsage().heapUsed - before
  const perInterval = median(costs)
  return [
    { what: 'measuring 100 containers, once in 10 s: processor time', value: perInterval, unit: 'ms' },
    { what: 'watching 100 containers, of one core', value: perInterval / 100, unit: '%', below: 0.5 },
    { what: 'watching 100 containers, memory that stays', value: Math.max(0, grown) / 2 ** 20, unit: 'MiB', below: 10 },
  ]
}

/** Makes a container that runs. A busy engine may not answer in time: the try is repeated with what is there by then. */
async function isRunning(product: Product, id: string, source: object): Promise<boolean> {
  const { status, body } = await product.ask(`GET /api/containers/${id}`)
  if (status === 200 && body['status'] === 'running') return true
  const line = status === 200 ? `POST /api/containers/${id}/start` : 'POST /api/containers'
  const json = status === 200 ? undefined : { id, name: id, ...source, start: true }
  return demand(product, line, json).then(
    () => true,
    () => false,
  )
}

/** Lists, commands and logs of containers against the engines' own tools and APIs. */
export async function benchContainers(): Promise<Row[]> {
  const dir = await mkdtemp(join(tmpdir(), 'hxb-'))
  const own = join(dir, 'e')
  // Containers run as other users, and pass through it.
  await chmod(dir, 0o711)
  const programs = join(dir, 'incus')
  await mkdir(programs)
  await fetchEngines(programs, ['incus-client'])
  const engines = await startEngines(
    own,
    ['docker', 'podman', 'lxc', 'lxd', 'incus'],
    process.pid,
    join(programs, 'root'),
  )
  const product = await startProduct([], { allowedPaths: [dir] })
  try {
    const json = { engine_config: engines.config }
    const { status } = await product.ask('PATCH /api/cluster/nodes/local', { json })
    if (status !== 200) throw new Error(`the engines of the node: ${status}`)
    for (const runtime of engines.engines)
      for (let index = 0; index < perEngine; index++) {
        const source = sourceOf(engines, runtime)
        const name = `bench-${runtime}-${index}`
        await until(() => isRunning(product, name, { runtime, ...source }), { what: name, timeoutMs: 300_000 })
      }
    const { body } = await until(
      async () => {
        const got = await product.ask('GET /api/containers/bench-docker-0')
        return got.body['status'] === 'running' && got
      },
      { what: 'the containers' },
    )
    const socket = engines.config.docker!.socket
    const api = dockerApi('Docker', host, socket, socket)
    return [
      ...(await lists(product, engines)),
      ...(await watching(product)),
      ...(await commands(api, String(body['engine_id']), engines)),
      ...(await logs(api, socket)),
    ]
  } finally {
    await product.stop()
    // LXC has no daemon that would end its containers.
    for (let index = 0; index < perEngine; index++)
      await host.run('lxc-stop', ['--kill', `--lxcpath=${join(own, 'lxc')}`, `--name=bench-lxc-${index}`])
    await stopEngines(own)
    await rm(dir, { recursive: true, force: true })
  }
}

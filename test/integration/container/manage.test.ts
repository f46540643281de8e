import { randomBytes } from 'node:crypto'
import { mkdir, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Container, containers } from '#shared/contracts/container/containers.ts'
import type { Runtime } from '#shared/contracts/container/parts.ts'
import { stacks } from '#shared/contracts/container/stacks.ts'
import { ConflictError, ValidationError } from '#shared/errors.ts'
import { within } from '#shared/runtime/request-context.ts'
import type { Definition } from '../../../services/container/drivers/driver.ts'
import { drivers } from '../../../services/container/drivers/drivers.ts'
import { type ContainerLab, startContainerLab } from '../../lab/containers/containers.ts'
import { sourceOf } from '../../lab/containers/source.ts'
import { labEngines } from '../../lab/containers/engines.ts'
import { idle } from '../../lab/containers/idle.ts'
import { done } from '../../lab/product/run-operation.ts'
import { until } from '../../lab/wait.ts'

const { engines } = await labEngines()
const tag = randomBytes(3).toString('hex')
let lab: ContainerLab
let folder: string
let attempts = 0

beforeAll(async () => {
  lab = await startContainerLab()
  folder = join(lab.engines.dir, `folder-${tag}`)
  await mkdir(folder, { mode: 0o755 })
})
afterAll(() => lab?.stop())

const get = (id: string) => lab.horcrux.call(containers, 'get', { id })
const act = async (action: 'start' | 'stop' | 'restart' | 'delete', id: string, more: object = {}) =>
  (await done(lab.horcrux, containers, action, { id, ...more })) as Container
const failure = (work: Promise<unknown>) => work.then(() => null).catch((error: Error) => error)
const inside = <T>(work: () => Promise<T>) =>
  within(
    {
      broker: lab.horcrux.broker,
      service: 'containers',
      caller: { kind: 'service', name: 'containers' },
      requestId: 'test',
    },
    work,
  )
const named = async (name: string) => {
  const { data } = await lab.horcrux.call(containers, 'list', { limit: 1000 })
  return data.find((each) => each.name === name)
}

/** A container that somebody else has made on the engine. */
async function madeByOthers(runtime: Runtime, name: string): Promise<string> {
  const { image = null, rootfs = null, command = [] } = sourceOf(lab.engines, runtime) as Partial<Definition>
  const definition: Definition = {
    id: `other-${name}`,
    name,
    node: 'local',
    image,
    rootfs,
    command,
    env: {},
    labels: { origin: 'others' },
    memory: null,
    cpus: null,
    pids: null,
    mounts: [],
    ports: [],
    restart_policy: 'no',
    privileged: false,
    health_check: null,
  }
  return inside(() => drivers[runtime].create(definition))
}

describe.each(engines)('%s', (runtime) => {
  test('has its containers discovered, shown, adopted as they run, and dropped when others remove them', async () => {
    const name = `found-${runtime}-${tag}`
    const engine_id = await madeByOthers(runtime, name)
    const found = await until(() => named(name), { what: 'the discovery' })
    expect(found).toMatchObject({ runtime, engine_id, managed: false, status: 'stopped' })
    expect(found.labels).toMatchObject({ origin: 'others' })
    const ref = { id: found.id, name, node: 'local', engine_id }
    await inside(() => drivers[runtime].start(ref))
    const running = await until(async () => (await get(found.id)).status === 'running' && get(found.id), {
      what: 'the event of its start',
    })

    const refused = await failure(lab.horcrux.call(containers, 'stop', { id: found.id }))
    expect(refused).toBeInstanceOf(ConflictError)
    expect(refused?.message).toContain('adopt it first')
    const adopted = await lab.horcrux.call(containers, 'adopt', { id: found.id })
    expect(adopted).toMatchObject({ managed: true, status: 'running', pid: running.pid })

    await inside(() => drivers[runtime].remove(ref, { volumes: true }))
    await until(async () => !(await named(name)), { what: 'the end of its record' })
  })

  test('changes limits while a container runs, tells those of the kernel, and keeps them at the next start', async () => {
    const id = `limits-${runtime}-${tag}`
    await lab.make(runtime, id, { memory: 64, start: true })
    const raised = await lab.horcrux.call(containers, 'update', { id, memory: 256, cpus: 1.5, pids: 200 })
    expect(raised).toMatchObject({ memory: 256, cpus: 1.5, pids: 200, status: 'running' })
    const lowered = await lab.horcrux.call(containers, 'update', { id, memory: 128 })
    expect(lowered).toMatchObject({ memory: 128, cpus: 1.5, pids: 200 })
    expect(await act('restart', id, { timeout: 5 })).toMatchObject({ memory: 128, cpus: 1.5, pids: 200 })
    expect(await act('stop', id)).toMatchObject({ status: 'stopped', memory: 128, cpus: 1.5 })
    await act('delete', id)
  })

  test('gives a container the folders that are allowed, and no other by any way', async () => {
    const id = `mounts-${runtime}-${tag}`
    const source = join(folder, `with space ${runtime}`)
    await mkdir(source, { mode: 0o755 })
    await writeFile(join(source, 'file'), 'content', { mode: 0o644 })
    await symlink('/', join(source, 'root'))
    const bind = (from: string, target = '/mnt/data') => [{ type: 'bind', source: from, target, read_only: true }]
    const wrong = [
      '/',
      '/etc',
      join(source, 'root'),
      join(source, 'root/etc'),
      `${source}/../../..`,
      join(source, 'none'),
    ]
    for (const from of wrong) {
      const error = await failure(lab.make(runtime, id, { mounts: bind(from) }))
      expect(error, from).toBeInstanceOf(ValidationError)
      expect((error as ValidationError).violations[0]?.field, from).toBe('mounts.0.source')
    }
    await lab.make(runtime, id, { mounts: bind(source), start: true })
    const read = await done(lab.horcrux, containers, 'exec', { id, command: ['cat', '/mnt/data/file'] })
    expect(read).toMatchObject({ exit_code: 0, stdout: 'content' })
    await act('stop', id, { timeout: 2 })

    // The folder becomes a link while the container is off.
    await rename(source, `${source}-moved`)
    await symlink('/', source)
    const error = await failure(act('start', id))
    expect(error?.message).toContain('leads out of the allowed folders')
    await rm(source)
    await act('delete', id)
  })

  test('has the containers of a Compose project as one stack, by its label', async () => {
    const id = `stacked-${runtime}-${tag}-${attempts++}`
    const labels = { 'com.docker.compose.project': id, 'com.docker.compose.service': 'web' }
    await lab.make(runtime, id, { labels })
    const { data } = await lab.horcrux.call(stacks, 'list', { filter: `name:${id}` })
    const member = { id, name: id, service: 'web', status: 'stopped' }
    expect(data).toMatchObject([{ name: id, runtime, node: 'local', status: 'stopped', containers: [member] }])
    expect(await lab.horcrux.call(stacks, 'get', { id: data[0]!.id })).toEqual(data[0])
    await act('delete', id)
    expect(await failure(lab.horcrux.call(stacks, 'get', { id: data[0]!.id }))).toMatchObject({ status: 404 })
  })

  test('takes no name that its engine or a command would misread', async () => {
    for (const name of ['..', '.', '/', '-n', 'a/b', 'a b', 'a\nb', '$(id)', 'é', ''])
      expect(await failure(lab.make(runtime, `odd-${tag}`, { name })), name).toBeInstanceOf(ValidationError)
  })
})

test.runIf(engines.includes('lxc'))(
  'a container of LXC with an odd name is listed, and is operable by its id',
  async () => {
    const name = `-n $(id) é ${tag}`
    await madeByOthers('lxc', name)
    const { id } = await until(() => named(name), { what: 'the discovery' })
    await lab.horcrux.call(containers, 'adopt', { id })
    expect((await act('start', id)).status).toBe('running')
    const said = await done(lab.horcrux, containers, 'exec', { id, command: ['hostname'] })
    expect(said).toMatchObject({ reason: 'exited' })
    await act('delete', id, { force: true })
    expect(await named(name)).toBeUndefined()
  },
)

test.each(engines)(
  'a process of %s that the kernel kills for lack of memory is counted, and its container runs on',
  async (runtime) => {
    const id = `oom-${runtime}-${tag}`
    await lab.make(runtime, id, { memory: 32, start: true })
    const command = ['/bin/sh', '-c', 'tail /dev/zero; echo $?']
    const killed = await done(lab.horcrux, containers, 'exec', { id, command })
    expect(killed).toMatchObject({ exit_code: 0, reason: 'exited' })
    const counted = await until(async () => (await get(id)).oom_kills > 0 && get(id), { what: 'the count' })
    expect(counted.status).toBe('running')
    await act('delete', id, { force: true })
  },
)

test.each(engines)('a container of %s whose first process is killed for lack of memory says so', async (runtime) => {
  const id = `oom-first-${runtime}-${tag}`
  await lab.make(runtime, id, { memory: 32, start: true })
  // The kernel prefers the first process from now on.
  const command = ['/bin/sh', '-c', 'echo 1000 >/proc/1/oom_score_adj; tail /dev/zero']
  await done(lab.horcrux, containers, 'exec', { id, command })
  const ended = await until(async () => (await get(id)).status === 'stopped' && get(id), { what: 'its end' })
  expect(ended).toMatchObject({ oom_killed: true, pid: null })
  expect(ended.oom_kills).toBeGreaterThan(0)
  expect(await act('start', id)).toMatchObject({ status: 'running', oom_killed: false, oom_kills: 0 })
  await act('stop', id, { timeout: 1 })
  expect(await get(id)).toMatchObject({ status: 'stopped', oom_killed: false })
  await act('delete', id, { force: true })
})

test.runIf(engines.includes('docker'))('a limit below the memory in use is refused with the use', async () => {
  const id = `shrink-${tag}`
  const command = ['/bin/sh', '-c', `head -c 40000000 /dev/zero >/dev/shm/x; ${idle[2]}`]
  await lab.make('docker', id, { memory: 128, command, start: true })
  const filled = ['/bin/sh', '-c', 'test $(stat -c %s /dev/shm/x) = 40000000']
  await until(
    async () =>
      ((await done(lab.horcrux, containers, 'exec', { id, command: filled })) as { exit_code: number }).exit_code === 0,
    { what: 'the use of memory' },
  )
  const error = await failure(lab.horcrux.call(containers, 'update', { id, memory: 16 }))
  expect(error).toBeInstanceOf(ConflictError)
  expect(error?.message).toMatch(/uses \d+ MiB/)
  expect(await get(id)).toMatchObject({ memory: 128, status: 'running' })
  await act('delete', id, { force: true })
})

test.runIf(engines.includes('docker'))(
  'a container gets another name while it runs, and no name that is taken',
  async () => {
    await lab.make('docker', `name-a-${tag}`, { start: true })
    await lab.make('docker', `name-b-${tag}`)
    const id = `name-a-${tag}`
    const taken = await failure(lab.horcrux.call(containers, 'update', { id, name: `name-b-${tag}` }))
    expect(taken).toBeInstanceOf(ConflictError)
    const renamed = await lab.horcrux.call(containers, 'update', { id, name: `name-c-${tag}` })
    expect(renamed).toMatchObject({ id, name: `name-c-${tag}`, status: 'running' })
    for (const each of [id, `name-b-${tag}`]) await act('delete', each, { force: true })
  },
)

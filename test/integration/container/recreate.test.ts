import { randomBytes } from 'node:crypto'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Container, containers } from '#shared/contracts/container/containers.ts'
import { ConflictError, ValidationError } from '#shared/errors.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { drivers } from '../../../services/container/drivers/drivers.ts'
import { type ContainerLab, startContainerLab } from '../../lab/containers/containers.ts'
import { labEngines } from '../../lab/containers/engines.ts'
import { idle } from '../../lab/containers/idle.ts'
import { done, work } from '../../lab/product/run-operation.ts'
import { until } from '../../lab/wait.ts'

const { engines } = await labEngines()
const able = engines.filter((runtime) => drivers[runtime].recreation)
let lab: ContainerLab
let count = 0

beforeAll(async () => {
  lab = await startContainerLab()
})
afterAll(() => lab?.stop())

const fresh = (word: string) => `${word}-${randomBytes(3).toString('hex')}-${count++}`
const get = (id: string) => lab.horcrux.call(containers, 'get', { id })
const failure = (attempt: Promise<unknown>) => attempt.then(() => null).catch((error: Error) => error)
const recreate = (id: string, given: object) =>
  work(lab.horcrux, containers, 'recreate', { id, timeout: 1, watch: 1, ...given }, { timeoutMs: 60_000 })
const sh = async (id: string, script: string) =>
  (await done(lab.horcrux, containers, 'exec', { id, command: ['/bin/sh', '-c', script] })) as {
    stdout: string
    stderr: string
  }
const end = (id: string) => done(lab.horcrux, containers, 'delete', { id, force: true })
/** No container of this record but one is left on its engine. */
const own = async ({ id, name, runtime }: Container) => {
  const { data } = await lab.horcrux.call(containers, 'list', { filter: `runtime:${runtime}`, limit: 1000 })
  return data.filter((each) => each.id === id || each.name === name || each.name.startsWith('aside-'))
}

describe.each(able)('a container of %s that is recreated', (runtime) => {
  test('keeps its id, name, folders and limits, and has the new settings', async () => {
    const id = fresh('again')
    const folder = join(lab.engines.dir, id)
    await mkdir(folder, { mode: 0o777 })
    const mounts = [{ type: 'bind', source: folder, target: '/mnt/data' }]
    const before = await lab.make(runtime, id, { env: { MARK: 'old', KEPT: 'no' }, memory: 64, mounts, start: true })
    const { state, error, result } = await recreate(id, { env: { MARK: 'new' }, labels: { team: 'red' } })
    expect(state, JSON.stringify(error)).toBe('succeeded')
    expect(result).toMatchObject({ id, name: id, status: 'running', memory: 64, labels: { team: 'red' } })
    const after = await get(id)
    expect(after.engine_id).not.toBe(before.engine_id)
    expect(after.env).toMatchObject({ MARK: 'new' })
    expect(after.env).not.toHaveProperty('KEPT')
    expect(after.mounts).toMatchObject([{ source: folder, target: '/mnt/data' }])
    expect((await sh(id, 'echo $MARK; ls -d /mnt/data')).stdout).toBe('new\n/mnt/data\n')
    await until(async () => (await own(after)).length === 1, { what: 'the end of the old one' })
    await done(lab.horcrux, containers, 'stop', { id, timeout: 1 })
    const off = await recreate(id, { env: { MARK: 'off' } })
    expect(off.result).toMatchObject({ id, status: 'stopped' })
    await end(id)
  })

  test("is refused without an image of the name, and for its engine's reasons, before anything is done", async () => {
    const id = fresh('kept')
    const before = await lab.make(runtime, id, { start: true })
    const refused = await failure(
      recreate(id, { image: 'no/such:image', mounts: [{ type: 'bind', source: '/', target: '/x' }] }),
    )
    expect(refused).toBeInstanceOf(ValidationError)
    const fields = (refused as ValidationError).violations.map(({ field }) => field)
    expect(fields).toEqual(expect.arrayContaining(['image', 'mounts.0.source']))
    expect(await get(id)).toMatchObject({ engine_id: before.engine_id, pid: before.pid, status: 'running' })
    await end(id)
  })

  test('comes back as it was, with its engine id, when the new one cannot be started', async () => {
    const id = fresh('back')
    const before = await lab.make(runtime, id, { env: { MARK: 'old' }, start: true })
    const port = 20_000 + Math.floor(Math.random() * 20_000)
    // Another process of the engines' network has the port.
    const pid = before.pid!
    const words = ['--net', `--target=${await engineNetwork()}`, 'busybox', 'nc', '-l', '-p', String(port)]
    const holder = await localHost().spawn('nsenter', words)
    const ports = [{ container_port: 80, host_port: port }]
    const { state, error } = await recreate(id, { env: { MARK: 'new' }, ports })
    await holder.kill()
    expect(state, JSON.stringify(error)).toBe('failed')
    const back = await until(async () => (await get(id)).status === 'running' && get(id), { what: 'the old one' })
    expect(back).toMatchObject({ engine_id: before.engine_id, name: id, ports: [] })
    expect(back.pid).not.toBe(pid)
    expect((await sh(id, 'echo $MARK')).stdout).toBe('old\n')
    expect(await own(back)).toHaveLength(1)
    await end(id)
  })
})

const engineNetwork = async () => (await localHost().readFile(join(lab.engines.dir, 'inside'))).toString('utf8').trim()

const commanded = able.filter((runtime) => !drivers[runtime].lacks.command)
test.each(commanded)('the old container of %s comes back when the new one ends at once', async (runtime) => {
  const id = fresh('ends')
  const before = await lab.make(runtime, id, { start: true })
  const { state, error } = await recreate(id, { command: ['/bin/sh', '-c', 'exit 3'] })
  expect(state).toBe('failed')
  expect(error?.message).toContain('exit code 3')
  const back = await until(async () => (await get(id)).status === 'running' && get(id), { what: 'the old one' })
  expect(back).toMatchObject({ engine_id: before.engine_id, command: idle })
  expect(await own(back)).toHaveLength(1)
  await end(id)
})

test.runIf(engines.includes('docker'))(
  'a container of two networks with volumes has the same networks, volumes and address names when it is recreated',
  async () => {
    const docker = async (...words: string[]) =>
      (
        await localHost().runChecked('docker', ['-H', `unix://${lab.engines.config.docker!.socket}`, ...words])
      ).stdout.trim()
    const [name, first, second] = [fresh('wide'), fresh('net'), fresh('net')]
    for (const network of [first, second]) await docker('network', 'create', network)
    await docker(
      'create',
      '--name',
      name,
      '--network',
      first,
      '--network-alias',
      'friend',
      '-v',
      '/anonymous',
      '-v',
      `${name}:/named`,
      '--restart',
      'always',
      'tiny',
      ...idle,
    )
    await docker('network', 'connect', second, name)
    await docker('start', name)
    const found = await until(
      async () =>
        (await lab.horcrux.call(containers, 'list', { limit: 1000 })).data.find(
          (each) => each.name === name && each.status === 'running',
        ),
      { what: 'the discovery' },
    )
    await lab.horcrux.call(containers, 'adopt', { id: found.id })
    await sh(found.id, 'echo 1 >/anonymous/file; echo 2 >/named/file')
    const volumes = async () =>
      (await get(found.id)).mounts.map(({ source, target }) => `${source} ${target}`).toSorted()
    const before = await volumes()
    expect(before).toHaveLength(2)
    const { state, error } = await recreate(found.id, { labels: { round: 'two' } })
    expect(state, JSON.stringify(error)).toBe('succeeded')
    expect(await volumes()).toEqual(before)
    expect((await sh(found.id, 'cat /anonymous/file /named/file')).stdout).toBe('1\n2\n')
    const after = await get(found.id)
    expect(after).toMatchObject({ restart_policy: 'always', labels: { round: 'two' } })
    expect(after.networks.map((each) => each.name).toSorted()).toEqual([first, second].toSorted())
    const aliases = await docker(
      'inspect',
      '--format',
      `{{json (index .NetworkSettings.Networks "${first}").Aliases}}`,
      name,
    )
    expect(JSON.parse(aliases)).toContain('friend')
    await done(lab.horcrux, containers, 'delete', { id: found.id, force: true, volumes: true })
    for (const network of [first, second]) await docker('network', 'rm', network)
    await docker('volume', 'rm', '--force', name)
  },
)

test('an engine that gives no other names says why it cannot recreate', async () => {
  for (const runtime of engines.filter((each) => !drivers[each].recreation)) {
    const id = fresh('never')
    await lab.make(runtime, id)
    const refused = await failure(recreate(id, { env: { MARK: 'new' } }))
    expect(refused).toBeInstanceOf(ConflictError)
    expect(refused?.message).toContain('no other name')
    await end(id)
  }
})

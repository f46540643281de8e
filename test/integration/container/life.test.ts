import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Container, containers } from '#shared/contracts/container/containers.ts'
import { ConflictError, NotFoundError, ValidationError } from '#shared/errors.ts'
import { type ContainerLab, startContainerLab } from '../../lab/containers/containers.ts'
import { labEngines } from '../../lab/containers/engines.ts'
import { done } from '../../lab/product/run-operation.ts'
import { until } from '../../lab/wait.ts'

const { engines } = await labEngines()
const tag = randomBytes(3).toString('hex')
let lab: ContainerLab

beforeAll(async () => {
  lab = await startContainerLab()
})
afterAll(() => lab?.stop())

const get = (id: string) => lab.horcrux.call(containers, 'get', { id })
const act = async (action: 'start' | 'stop' | 'restart' | 'pause' | 'resume', id: string, more: object = {}) =>
  (await done(lab.horcrux, containers, action, { id, ...more })) as Container
const failure = (work: Promise<unknown>) => work.then(() => null).catch((error: Error) => error)

describe.each(engines)('a container of %s', (runtime) => {
  const name = `life-${runtime}-${tag}`

  test('lives: made, started, paused, resumed, restarted, stopped also from paused, deleted', async () => {
    const made = await lab.make(runtime, name)
    expect(made).toMatchObject({ id: name, name, runtime, node: 'local', managed: true, status: 'stopped' })

    const started = await act('start', name)
    expect(started.status).toBe('running')
    expect(started.pid).toBeGreaterThan(0)
    expect((await act('pause', name)).status).toBe('paused')
    expect((await act('resume', name)).status).toBe('running')
    expect((await act('resume', name)).status).toBe('running')
    const restarted = await act('restart', name, { timeout: 5 })
    expect(restarted.status).toBe('running')
    expect(restarted.pid).not.toBe(started.pid)
    await act('pause', name)
    expect(await act('stop', name, { timeout: 1 })).toMatchObject({ status: 'stopped', pid: null })

    expect(await failure(lab.horcrux.call(containers, 'pause', { id: name }))).toBeInstanceOf(ConflictError)
    await done(lab.horcrux, containers, 'delete', { id: name })
    expect(await failure(get(name))).toBeInstanceOf(NotFoundError)
  })

  test('keeps its limits, labels and environment, and is deleted by force while it runs', async () => {
    const given = { memory: 64, cpus: 0.5, pids: 100, env: { GREETING: 'a b\'c"d' }, labels: { team: 'blue = green' } }
    const made = await lab.make(runtime, `${name}-2`, { ...given, start: true })
    expect(made).toMatchObject({ status: 'running', memory: 64, cpus: 0.5, pids: 100 })
    expect(made.labels).toMatchObject({ team: 'blue = green' })
    expect(made.env).toMatchObject({ GREETING: 'a b\'c"d' })
    expect(await failure(lab.horcrux.call(containers, 'delete', { id: made.id }))).toBeInstanceOf(ConflictError)
    await done(lab.horcrux, containers, 'delete', { id: made.id, force: true })
    expect(await failure(get(made.id))).toBeInstanceOf(NotFoundError)
  })

  test('has a name that is not taken', async () => {
    await lab.make(runtime, `${name}-3`)
    const again = lab.make(runtime, `${name}-3`, { id: `${name}-other` })
    expect(await failure(again)).toMatchObject({ name: 'ConflictError' })
    await done(lab.horcrux, containers, 'delete', { id: `${name}-3` })
  })

  test('that cannot be made is refused with all reasons at once', async () => {
    const error = await failure(
      lab.horcrux.call(containers, 'create', {
        name: `${name}-4`,
        runtime,
        image: 'no/such:image',
        rootfs: '/etc',
        mounts: [{ type: 'bind', source: '/', target: '/host' }],
        node: 'local',
        resource_pool: 'nowhere',
      }),
    )
    expect(error).toBeInstanceOf(ValidationError)
    const fields = (error as ValidationError).violations.map(({ field }) => field)
    expect(fields).toEqual(expect.arrayContaining(['mounts.0.source', 'resource_pool', 'rootfs']))
  })
})

test('every engine of the machine is listed in one answer', async () => {
  for (const runtime of engines) await lab.make(runtime, `list-${runtime}-${tag}`)
  const { data } = await lab.horcrux.call(containers, 'list', { filter: `name:list-*` })
  const found = data.filter(({ name }) => name.endsWith(tag)).map(({ runtime }) => runtime)
  expect(found.toSorted()).toEqual(engines.toSorted())
  for (const runtime of engines) await done(lab.horcrux, containers, 'delete', { id: `list-${runtime}-${tag}` })
  await until(async () => (await lab.horcrux.call(containers, 'list', { filter: 'name:list-*' })).total === 0, {
    what: 'their end',
  })
})

import { randomBytes } from 'node:crypto'
import { mkdir, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { containers } from '#shared/contracts/container/containers.ts'
import { nodes } from '#shared/contracts/cluster/nodes.ts'
import { type Stack, type StackPlan, stacks } from '#shared/contracts/container/stacks.ts'
import { ConflictError, NotFoundError, PreconditionFailedError, ValidationError } from '#shared/errors.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { drivers } from '../../../services/container/drivers/drivers.ts'
import { type ContainerLab, startContainerLab } from '../../lab/containers/containers.ts'
import { labEngines } from '../../lab/containers/engines.ts'
import { done, work } from '../../lab/product/run-operation.ts'
import { sample, seedOf } from '../../lab/faults/seed.ts'
import { available } from '../../lab/requirements.ts'

const { engines } = await labEngines()
const host = localHost()
const missing = (await host.which('docker-compose')) === null ? ['docker-compose (Debian: docker-compose)'] : []
const driven = available('compose', missing) ? engines.filter((engine) => drivers[engine].composing) : []
/** Compose takes seconds for each step: one engine for a run, all of them in `npm run torture`. */
const drawn = sample(driven, seedOf('stacks'), 1)
let lab: ContainerLab

beforeAll(async () => {
  lab = await startContainerLab()
})
afterAll(() => lab?.stop())

const fresh = (word: string) => `${word}-${randomBytes(3).toString('hex')}`
const failure = (attempt: Promise<unknown>) => attempt.then(() => null).catch((error: Error) => error)
const violationsOf = async (attempt: Promise<unknown>) => {
  const error = await failure(attempt)
  return error instanceof ValidationError
    ? error.violations.map(({ field, code }) => `${field} ${code}`)
    : [String(error)]
}
/** A plan runs Compose, which takes long on a busy machine. */
const slowly = { timeoutMs: 60_000 }
/** The answer of an operation that is asked for its plan. */
const planOf = async (answer: Promise<unknown>) => (await answer) as StackPlan
const actionsOf = ({ services }: StackPlan) => services.map(({ name, action }) => `${name} ${action}`)

const file = (mark: string, more = '') => `
services:
  web:
    image: tiny
    command: [/sbin/init]
    environment: { MARK: "${mark}", SECRET: "p$$w0rd" }
    volumes: ["data:/data"]
    stop_grace_period: 1s
  worker:
    image: tiny
    command: [/sbin/init]
    scale: 2
    stop_grace_period: 1s
${more}
volumes: { data: }
`

/** The names that an engine itself has of a project. */
async function ofEngine(runtime: 'docker' | 'podman', project: string): Promise<string[]> {
  const { socket } = lab.engines.config[runtime]!
  const ask = async (path: string) => {
    const filters = encodeURIComponent(JSON.stringify({ label: [`com.docker.compose.project=${project}`] }))
    const words = ['-sf', '--unix-socket', socket, `http://engine/v1.41/${path}filters=${filters}`]
    return JSON.parse((await host.runChecked('curl', words)).stdout) as unknown
  }
  // The engine's own lists.
  const all = (await ask('containers/json?all=1&')) as unknown[]
  const { Volumes } = (await ask('volumes?')) as { Volumes: { Name: string }[] | null }
  const networks = (await ask('networks?')) as { Name: string }[]
  return [`${all.length} containers`, ...(Volumes ?? []).map(({ Name }) => Name), ...networks.map(({ Name }) => Name)]
}

test.each(drawn)(
  'a project is brought up, changed and taken down on %s, each by the plan that was seen',
  async (runtime) => {
    const name = fresh('shop')
    const wish = { name, runtime, compose_file: file('one') }
    const { horcrux } = lab
    // Compose drives two of the engines.
    const engine = runtime as 'docker' | 'podman'
    const meta = (ifPlan: string) => ({ meta: { ifPlan } })
    const first = await planOf(horcrux.call(stacks, 'create', { ...wish, plan: true }, slowly))
    expect(actionsOf(first)).toEqual(['web create', 'worker create'])
    expect(first.volumes).toEqual([{ name: `${name}_data`, action: 'create' }])
    expect(first.networks).toEqual([{ name: `${name}_default`, action: 'create' }])
    expect(await ofEngine(engine, name)).toEqual(['0 containers'])
    expect(await failure(horcrux.call(stacks, 'create', wish, meta('another')))).toBeInstanceOf(PreconditionFailedError)

    const made = await work(
      horcrux,
      stacks,
      'create',
      { ...wish, watch: 1 },
      { ...meta(first.plan_id), timeoutMs: 120_000 },
    )
    expect(made.state, JSON.stringify(made.error)).toBe('succeeded')
    // The result of the operation is the stack.
    const stack = made.result as Stack
    expect(stack).toMatchObject({ name, runtime, managed: true, status: 'running' })
    expect(stack.services).toEqual([
      { name: 'web', scale: 1, containers: 1, running: 1 },
      { name: 'worker', scale: 2, containers: 2, running: 2 },
    ])
    const { id } = stack
    const web = stack.containers.find(({ service }) => service === 'web')!
    expect(await horcrux.call(containers, 'get', { id: web.id })).toMatchObject({
      managed: true,
      stack: name,
      env: { MARK: 'one', SECRET: 'p$w0rd' },
    })
    expect(await horcrux.call(stacks, 'config', { id })).toEqual({ compose_file: wish.compose_file })
    expect(await failure(horcrux.call(stacks, 'create', wish))).toBeInstanceOf(ConflictError)

    const next = file('two', '  more: { image: tiny, command: [/sbin/init], stop_grace_period: 1s }').replace(
      'scale: 2',
      'scale: 1',
    )
    const change = { id, compose_file: next, timeout: 1, watch: 1 }
    const second = await planOf(horcrux.call(stacks, 'update', { ...change, plan: true }, slowly))
    expect(actionsOf(second)).toEqual(['web recreate', 'worker scale', 'more create'])
    const changed = await work(horcrux, stacks, 'update', change, { ...meta(second.plan_id), timeoutMs: 120_000 })
    expect(changed.state, JSON.stringify(changed.error)).toBe('succeeded')
    expect((changed.result as Stack).services.map(({ name: one, running }) => `${one} ${running}`)).toEqual([
      'more 1',
      'web 1',
      'worker 1',
    ])
    expect(await failure(horcrux.call(containers, 'get', { id: web.id }))).toBeInstanceOf(NotFoundError)
    const now = (await horcrux.call(stacks, 'get', { id })).containers.find(({ service }) => service === 'web')!
    expect((await horcrux.call(containers, 'get', { id: now.id })).env['MARK']).toBe('two')
    expect(actionsOf(await planOf(horcrux.call(stacks, 'update', { ...change, plan: true }, slowly)))).toEqual([
      'web keep',
      'worker keep',
      'more keep',
    ])

    const kept = await planOf(horcrux.call(stacks, 'delete', { id, plan: true }, slowly))
    expect(kept.volumes).toEqual([{ name: `${name}_data`, action: 'keep' }])
    await done(horcrux, stacks, 'delete', { id, timeout: 1 })
    expect(await ofEngine(engine, name)).toEqual(['0 containers', `${name}_data`])
    expect(await failure(horcrux.call(stacks, 'get', { id }))).toBeInstanceOf(NotFoundError)
    expect(await failure(horcrux.call(containers, 'get', { id: now.id }))).toBeInstanceOf(NotFoundError)
    // A failure of another first time leaves the volume of before.
    const bad = file('three').replace('[/sbin/init]', '[/no/such/program]')
    expect((await work(horcrux, stacks, 'create', { ...wish, compose_file: bad }, { timeoutMs: 120_000 })).state).toBe(
      'failed',
    )
    expect(await ofEngine(engine, name)).toEqual(['0 containers', `${name}_data`])
    const { socket } = lab.engines.config[engine]!
    const volume = `http://engine/v1.41/volumes/${name}_data`
    await host.runChecked('curl', ['-sf', '-X', 'DELETE', '--unix-socket', socket, volume])
  },
  240_000,
)

test.each(drawn)(
  'a project that fails on %s leaves nothing, and a change that fails leaves the one of before',
  async (runtime) => {
    const name = fresh('fail')
    const { horcrux } = lab
    const engine = runtime as 'docker' | 'podman'
    const dying = '  dying: { image: tiny, command: [sh, -c, "sleep 0.2; exit 3"] }'
    const failed = await work(
      horcrux,
      stacks,
      'create',
      { name, runtime, compose_file: file('one', dying) },
      { timeoutMs: 120_000 },
    )
    expect(failed.state).toBe('failed')
    expect(failed.error?.message).toMatch(/of service 'dying' has ended with exit code 3.*web \(1 of 1 running\)/)
    expect(await ofEngine(engine, name)).toEqual(['0 containers'])
    expect((await horcrux.call(stacks, 'list', { filter: `name:${name}` })).data).toEqual([])

    const { id } = (await done(horcrux, stacks, 'create', {
      name,
      runtime,
      compose_file: file('one'),
      watch: 0,
    })) as Stack
    const changed = await work(
      horcrux,
      stacks,
      'update',
      { id, compose_file: file('two', dying), timeout: 1 },
      { timeoutMs: 120_000 },
    )
    expect(changed.state).toBe('failed')
    const { services, containers: own } = await horcrux.call(stacks, 'get', { id })
    expect(services.map(({ name: one, running }) => `${one} ${running}`)).toEqual(['web 1', 'worker 2'])
    const web = own.find(({ service }) => service === 'web')!
    expect((await horcrux.call(containers, 'get', { id: web.id })).env['MARK']).toBe('one')
    expect((await horcrux.call(stacks, 'config', { id })).compose_file).toBe(file('one'))
    await done(horcrux, stacks, 'delete', { id, timeout: 1, volumes: true })
  },
  240_000,
)

test.runIf(drawn.length > 0)(
  'a project that its node cannot have, or that leads to the node, is refused with all reasons',
  async () => {
    const [runtime] = drawn
    const { horcrux } = lab
    const create = (compose_file: string, more = {}) =>
      horcrux.call(stacks, 'create', { name: fresh('bad'), runtime, compose_file, ...more })
    const { state_dir } = await horcrux.call(nodes, 'get', { id: 'local' })
    const link = join(lab.engines.dir, fresh('link'))
    await symlink('/', link)
    await mkdir(join(state_dir, 'stacks'), { recursive: true })
    const mounts = [
      `/:/a`,
      `${link}:/b`,
      `${state_dir}/stacks:/c`,
      `${lab.engines.dir}/nothing:/d`,
      '/var/run/docker.sock:/e',
    ]
    const lines = ['services:', '  web:', '    image: absent/image', `    volumes: ${JSON.stringify(mounts)}`]
    expect(await violationsOf(create(lines.join('\n')))).toEqual([
      'compose_file.services.web.image not_found',
      'compose_file.services.web.volumes.0.source forbidden_path',
      'compose_file.services.web.volumes.1.source forbidden_path',
      'compose_file.services.web.volumes.2.source forbidden_path',
      'compose_file.services.web.volumes.3.source not_found',
      'compose_file.services.web.volumes.4.source forbidden_path',
    ])
    expect(await violationsOf(create('services: { web: { image: tiny, build: . } }', { node: 'nowhere' }))).toEqual([
      'node not_found',
      'compose_file.services.web.build unsupported',
    ])
    expect(await violationsOf(create(file('x'), { runtime: 'lxc' }))).toEqual(['runtime unsupported'])
  },
)

test.runIf(drawn.length > 0)('a project of others is shown, and neither changed nor taken over', async () => {
  const runtime = drawn[0] as 'docker' | 'podman'
  const name = fresh('others')
  const labels = { 'com.docker.compose.project': name, 'com.docker.compose.service': 'web' }
  await lab.make(runtime, name, { labels })
  const { data } = await lab.horcrux.call(stacks, 'list', { filter: `name:${name}` })
  expect(data).toMatchObject([{ name, managed: false, services: [{ name: 'web', scale: null, containers: 1 }] }])
  const { id } = data[0]!
  expect(await failure(lab.horcrux.call(stacks, 'create', { name, runtime, compose_file: file('x') }))).toBeInstanceOf(
    ConflictError,
  )
  expect(await failure(lab.horcrux.call(stacks, 'update', { id, compose_file: file('x') }))).toBeInstanceOf(
    ConflictError,
  )
  expect(await failure(lab.horcrux.call(stacks, 'delete', { id }))).toBeInstanceOf(ConflictError)
  expect(await failure(lab.horcrux.call(stacks, 'config', { id }))).toBeInstanceOf(ConflictError)
  await done(lab.horcrux, containers, 'delete', { id: name, force: true })
})

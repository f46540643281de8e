import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { containerSnapshots } from '#shared/contracts/container/container-snapshots.ts'
import { type Container, containers } from '#shared/contracts/container/containers.ts'
import { type Image, images } from '#shared/contracts/container/images.ts'
import type { Runtime } from '#shared/contracts/container/parts.ts'
import { ConflictError, NotFoundError, ValidationError } from '#shared/errors.ts'
import { drivers } from '../../../services/container/drivers/drivers.ts'
import { type ContainerLab, startContainerLab } from '../../lab/containers/containers.ts'
import { labEngines } from '../../lab/containers/engines.ts'
import { idle } from '../../lab/containers/idle.ts'
import { done } from '../../lab/product/run-operation.ts'
import { until } from '../../lab/wait.ts'

const { engines } = await labEngines()
let lab: ContainerLab
let count = 0

beforeAll(async () => {
  lab = await startContainerLab()
})
afterAll(() => lab?.stop())

const fresh = (word: string) => `${word}-${randomBytes(3).toString('hex')}-${count++}`
const patient = { timeoutMs: 60_000 }
const get = (id: string) => lab.horcrux.call(containers, 'get', { id })
const failure = (attempt: Promise<unknown>) => attempt.then(() => null).catch((error: Error) => error)
const act = (action: 'start' | 'stop', id: string) =>
  done(lab.horcrux, containers, action, { id, ...(action === 'stop' && { timeout: 1 }) })
const sh = async (id: string, script: string) =>
  ((await done(lab.horcrux, containers, 'exec', { id, command: ['/bin/sh', '-c', script] })) as { stdout: string })
    .stdout
const end = (id: string) => done(lab.horcrux, containers, 'delete', { id, force: true })
const command = (runtime: Runtime) => (drivers[runtime].lacks.command ? {} : { command: idle })
/** A container that runs, with a text in a file of its own. */
async function withFile(runtime: Runtime, text: string): Promise<string> {
  const id = fresh('first')
  await lab.make(runtime, id, { env: { MARK: 'first' }, memory: 64, start: true })
  await sh(id, `echo ${text} >/root/file`)
  return id
}
/** The container runs, or is off where its engine wants it. */
const asWanted = async (id: string, { onlyStopped = false } = {}) => {
  if (onlyStopped) await act('stop', id)
}

/** The container runs again; one that was not stopped may be frozen for the moment of a copy. */
const running = async (id: string, { onlyStopped = false } = {}) => {
  if (onlyStopped) await act('start', id)
  else await until(async () => (await get(id)).status === 'running', { what: 'the running container' })
}

const withSnapshots = engines.filter((runtime) => drivers[runtime].snapshots)
describe.each(withSnapshots)('snapshots of a container of %s', (runtime) => {
  const snapshots = (id: string) => lab.horcrux.call(containerSnapshots, 'list', { id })
  const named = async (id: string) => (await snapshots(id)).data.map(({ name }) => name)

  test('are made, listed, restored and deleted', async () => {
    const id = await withFile(runtime, 'before')
    await asWanted(id, drivers[runtime].snapshots)
    const made = await done(lab.horcrux, containerSnapshots, 'create', { id, name: 'one' })
    expect(made).toMatchObject({ name: 'one' })
    expect(await named(id)).toEqual(['one'])
    const again = await failure(lab.horcrux.call(containerSnapshots, 'create', { id, name: 'one' }, patient))
    expect(again).toBeInstanceOf(ConflictError)
    await running(id, drivers[runtime].snapshots)
    await sh(id, 'echo after >/root/file; echo more >/root/more')
    await asWanted(id, drivers[runtime].snapshots)
    const restored = await done(lab.horcrux, containerSnapshots, 'restore', { id, name: 'one' })
    expect(restored).toMatchObject({ id, name: id })
    await running(id, drivers[runtime].snapshots)
    expect(await sh(id, 'cat /root/file; ls /root')).toBe('before\nfile\n')
    await asWanted(id, drivers[runtime].snapshots)
    await done(lab.horcrux, containerSnapshots, 'delete', { id, name: 'one' })
    expect(await named(id)).toEqual([])
    const gone = await failure(lab.horcrux.call(containerSnapshots, 'restore', { id, name: 'one' }, patient))
    expect(gone).toBeInstanceOf(NotFoundError)
    await end(id)
  })

  test('go with their container', async () => {
    const id = await withFile(runtime, 'before')
    await asWanted(id, drivers[runtime].snapshots)
    await done(lab.horcrux, containerSnapshots, 'create', { id, name: 'two' })
    await end(id)
    expect(await failure(get(id))).toBeInstanceOf(NotFoundError)
  })

  test('become containers of their own', async () => {
    const id = await withFile(runtime, 'before')
    await asWanted(id, drivers[runtime].snapshots)
    await done(lab.horcrux, containerSnapshots, 'create', { id, name: 'one' })
    await running(id, drivers[runtime].snapshots)
    await sh(id, 'echo after >/root/file')
    const target = fresh('copy')
    const given = { id, target_id: target, target_name: target, snapshot: 'one' }
    await done(lab.horcrux, containers, 'clone', given)
    await act('start', target)
    expect(await sh(target, 'cat /root/file')).toBe('before\n')
    const none = await failure(
      lab.horcrux.call(containers, 'clone', { id, target_name: fresh('none'), snapshot: 'none' }, patient),
    )
    expect(none).toBeInstanceOf(ValidationError)
    for (const each of [target, id]) await end(each)
  })
})

const withCopies = engines.filter((runtime) => drivers[runtime].copying)
test.each(withCopies)('a container of %s is cloned: another id, name and process, the same files', async (runtime) => {
  const id = await withFile(runtime, 'mine')
  await asWanted(id, drivers[runtime].copying)
  const target = fresh('copy')
  const clone = (target_name: string) => ({ id, target_id: target, target_name })
  const taken = await failure(lab.horcrux.call(containers, 'clone', clone(id), patient))
  expect(taken).toBeInstanceOf(ConflictError)
  const made = (await done(lab.horcrux, containers, 'clone', clone(target))) as Container
  expect(made).toMatchObject({ id: target, name: target, runtime, status: 'stopped', managed: true, memory: 64 })
  expect(made.env).toMatchObject({ MARK: 'first' })
  await act('start', target)
  await sh(target, 'echo yours >>/root/file')
  expect(await sh(target, 'cat /root/file')).toBe('mine\nyours\n')
  await running(id, drivers[runtime].copying)
  expect(await sh(id, 'cat /root/file')).toBe('mine\n')
  await end(id)
  expect((await get(target)).status).toBe('running')
  await end(target)
})

const withCommits = engines.filter((runtime) => drivers[runtime].committing)
test.each(withCommits)('an image is made of a container of %s, and containers of the image', async (runtime) => {
  const id = await withFile(runtime, 'kept')
  await asWanted(id, drivers[runtime].committing)
  const image = fresh('made')
  const made = (await done(lab.horcrux, containers, 'commit', { id, image })) as Image
  expect(made.tags.join()).toContain(image)
  await end(id)
  const other = fresh('other')
  const given = { id: other, name: other, runtime, image, ...command(runtime), start: true }
  await done(lab.horcrux, containers, 'create', given)
  expect(await sh(other, 'cat /root/file')).toBe('kept\n')
  await end(other)
  await done(lab.horcrux, images, 'delete', { id: made.id })
})

test('an engine without snapshots, copies or images says so', async () => {
  for (const runtime of engines) {
    const { snapshots, copying, committing } = drivers[runtime]
    const id = fresh('plain')
    await lab.make(runtime, id)
    const attempts = [
      ...(snapshots ? [] : [() => lab.horcrux.call(containerSnapshots, 'create', { id, name: 'one' }, patient)]),
      ...(copying ? [] : [() => lab.horcrux.call(containers, 'clone', { id, target_name: fresh('copy') }, patient)]),
      ...(committing ? [] : [() => lab.horcrux.call(containers, 'commit', { id, image: fresh('made') }, patient)]),
    ]
    for (const attempt of attempts) {
      const refused = await failure(attempt())
      expect(refused).toBeInstanceOf(ConflictError)
      expect(refused?.message).toMatch(/its engine/)
    }
    await end(id)
  }
})

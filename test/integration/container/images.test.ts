import { randomBytes } from 'node:crypto'
import { copyFile } from 'node:fs/promises'
import { join } from 'node:path'
import mongoose from 'mongoose'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { containers } from '#shared/contracts/container/containers.ts'
import { type Image, images } from '#shared/contracts/container/images.ts'
import type { Runtime } from '#shared/contracts/container/parts.ts'
import { operations } from '#shared/contracts/core/operations.ts'
import { ConflictError, NotFoundError, ValidationError } from '#shared/errors.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { drivers } from '../../../services/container/drivers/drivers.ts'
import { type ContainerLab, startContainerLab } from '../../lab/containers/containers.ts'
import { labEngines } from '../../lab/containers/engines.ts'
import { type Registry, startRegistry } from '../../lab/containers/registry.ts'
import { done, work } from '../../lab/product/run-operation.ts'
import { until } from '../../lab/wait.ts'

const { engines } = await labEngines()
const withImages = engines.filter((runtime) => drivers[runtime].images)
const pulling = withImages.filter((runtime) => drivers[runtime].images?.pullsFrom === 'registry')
const password = `canary-${randomBytes(12).toString('hex')}`
let lab: ContainerLab
let registry: Registry
let count = 0

beforeAll(async () => {
  lab = await startContainerLab()
  registry = await startRegistry(lab.engines, password)
})
afterAll(async () => {
  await registry?.stop()
  await lab?.stop()
})

const fresh = () => `${randomBytes(3).toString('hex')}-${count++}`
const failure = (attempt: Promise<unknown>) => attempt.then(() => null).catch((error: Error) => error)
const get = (id: string) => lab.horcrux.call(images, 'get', { id })
const allOf = async (runtime: Runtime) =>
  (await lab.horcrux.call(images, 'list', { filter: `runtime:${runtime}`, limit: 1000 })).data
const remove = (id: string) => done(lab.horcrux, images, 'delete', { id })
const command = (runtime: Runtime) =>
  (drivers[runtime].lacks.command ? {} : { command: ['/sbin/init'] }) satisfies { command?: string[] }

describe.each(withImages)('images of %s', (runtime) => {
  const imported = async (given: object) => (await done(lab.horcrux, images, 'import', { runtime, ...given })) as Image

  test('are made of a root file system, listed with their users, kept while they are used, and deleted', async () => {
    const name = `root-${fresh()}`
    const made = await imported({ path: lab.engines.archive, kind: 'rootfs', name })
    expect(made).toMatchObject({ runtime, node: 'local', users: 0, used_by: [] })
    expect(made.size_bytes).toBeGreaterThan(500_000)
    expect(made.tags.join()).toContain(name)
    const again = await imported({ path: lab.engines.archive, kind: 'rootfs', name })
    expect(again.tags.join()).toContain(name)

    const id = `user-${fresh()}`
    await done(lab.horcrux, containers, 'create', {
      id,
      name: id,
      runtime,
      image: name,
      ...command(runtime),
      start: true,
    })
    expect((await lab.horcrux.call(containers, 'get', { id })).status).toBe('running')
    const user = { id, name: id }
    const used = await until(async () => (await get(again.id)).users === 1 && get(again.id), { what: 'the user' })
    expect(used.used_by).toEqual([user])
    const refused = await failure(lab.horcrux.call(images, 'delete', { id: again.id }))
    expect(refused).toBeInstanceOf(ConflictError)
    expect(refused?.message).toContain(`'${id}'`)
    await done(lab.horcrux, containers, 'delete', { id, force: true })
    await remove(again.id)
    expect(await failure(get(again.id))).toBeInstanceOf(NotFoundError)
    expect((await allOf(runtime)).filter(({ tags }) => tags.join().includes(name))).toEqual([])
    if (made.id !== again.id) await remove(made.id).catch(() => undefined)
  })

  test('are not made of other files, and nothing is left of the attempt', async () => {
    const refusal = (given: object) => failure(done(lab.horcrux, images, 'import', { runtime, ...given }))
    const name = `none-${fresh()}`
    const wrong = await refusal({ path: lab.engines.archive, name })
    expect(wrong).toBeInstanceOf(ValidationError)
    expect(await refusal({ path: '/etc/passwd', kind: 'rootfs', name })).toBeInstanceOf(ValidationError)
    expect(await refusal({ path: lab.engines.archive, kind: 'rootfs' })).toBeInstanceOf(ValidationError)
    const path = join(lab.engines.dir, `no-archive-${name}`)
    await copyFile('/etc/passwd', path)
    expect(await refusal({ path, kind: 'rootfs', name })).toBeInstanceOf(ValidationError)
    expect((await allOf(runtime)).filter(({ tags }) => tags.join().includes(name))).toEqual([])
  })
})

test.runIf(engines.includes('docker'))(
  "an engine's own archive is imported under its names, and a further one",
  async () => {
    const [tag, path] = [`saved-${fresh()}`, join(lab.engines.dir, `saved-${fresh()}.tar`)]
    const docker = (...words: string[]) =>
      localHost().runChecked('docker', ['-H', `unix://${lab.engines.config.docker!.socket}`, ...words])
    const made = (await done(lab.horcrux, images, 'import', {
      runtime: 'docker',
      path: lab.engines.archive,
      kind: 'rootfs',
      name: tag,
    })) as Image
    await docker('save', '--output', path, tag)
    await remove(made.id)
    const loaded = (await done(lab.horcrux, images, 'import', { runtime: 'docker', path, name: `${tag}-2:x` })) as Image
    expect(loaded.tags.toSorted()).toEqual([`${tag}-2:x`, `${tag}:latest`])
    expect(loaded.engine_id).toBe(made.engine_id)
    await remove(loaded.id)
  },
)

test('an engine without images says so', async () => {
  const without = engines.filter((runtime) => !drivers[runtime].images)
  for (const runtime of without) {
    const refused = await failure(lab.horcrux.call(images, 'pull', { runtime, image: 'x' }))
    expect(refused).toBeInstanceOf(ValidationError)
    expect(refused?.message).toContain('keeps no images')
  }
})

describe.each(pulling)('a pull by %s', (runtime) => {
  const pull = (image: string, more: object = {}) => work(lab.horcrux, images, 'pull', { runtime, image, ...more })
  const named = async (name: string) => (await allOf(runtime)).filter(({ tags }) => tags.includes(name))
  /** Layers that an engine has already are not pulled again. */
  const forget = async (name: string) => {
    for (const { id } of await named(name)) await remove(id)
  }

  test('brings the image with its progress, and containers are made of it', async () => {
    const name = `${registry.address}/good/it:${fresh()}`
    const pulled = await pull(name)
    expect(pulled, JSON.stringify(pulled.error)).toMatchObject({ state: 'succeeded', progress: { percent: 100 } })
    expect(pulled.progress.total).toBeGreaterThan(1)
    expect((await named(name)).map(({ id }) => id)).toEqual([(pulled.result as Image).id])
    const id = `pulled-${fresh()}`
    await done(lab.horcrux, containers, 'create', { id, name: id, runtime, image: name, start: true })
    const found = await done(lab.horcrux, containers, 'exec', { id, command: ['ls', '/noise'] })
    expect(found).toMatchObject({ exit_code: 0 })
    await done(lab.horcrux, containers, 'delete', { id, force: true })
    await forget(name)
  })

  test('signs in with credentials, which are written nowhere in clear', async () => {
    const name = `${registry.privateAddress}/good/it:${fresh()}`
    const anonymous = await pull(name)
    expect(anonymous.state).toBe('failed')
    expect(await pull(name, { username: 'me', password: 'wrong' })).toMatchObject({ state: 'failed' })
    const half = await failure(lab.horcrux.call(images, 'pull', { runtime, image: name, username: 'me' }))
    expect(half).toBeInstanceOf(ValidationError)
    const pulled = await pull(name, { username: 'me', password })
    expect(pulled.state, JSON.stringify(pulled.error)).toBe('succeeded')
    expect(await named(name)).toHaveLength(1)
    const stored = await Promise.all(
      (await mongoose.connection.listCollections()).map(({ name: one }) =>
        mongoose.connection.collection(one).find({}).toArray(),
      ),
    )
    expect(JSON.stringify(stored)).toContain(pulled.id)
    expect(JSON.stringify(stored)).not.toContain(password)
    expect(JSON.stringify(pulled)).not.toContain(password)
    await forget(name)
  })

  test('that fails late fails with the words of the registry, and leaves no image', async () => {
    const name = `${registry.address}/late/it:${fresh()}`
    const failed = await pull(name)
    expect(failed.state).toBe('failed')
    expect(failed.error?.message).toMatch(/not the last layer|denied|forbidden/i)
    expect(await named(name)).toEqual([])
  })

  test('that hangs is cancelled, and leaves no image', async () => {
    const name = `${registry.address}/hanging/it:${fresh()}`
    const countOf = (word: string) => registry.heard().filter((line) => line === word).length
    const before = countOf('hanging')
    const { id } = (await lab.horcrux.call(images, 'pull', { runtime, image: name })) as unknown as { id: string }
    await until(() => countOf('hanging') > before, { what: 'the half of the layer' })
    const { progress } = await lab.horcrux.call(operations, 'get', { id })
    expect(progress.percent ?? 0).toBeLessThan(100)
    await lab.horcrux.call(operations, 'cancel', { id })
    expect(await lab.horcrux.call(operations, 'wait', { id, timeout: 60 }, { timeoutMs: 65_000 })).toMatchObject({
      state: 'cancelled',
    })
    expect(await named(name)).toEqual([])
  })
})

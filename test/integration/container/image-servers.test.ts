import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { containers } from '#shared/contracts/container/containers.ts'
import { type Image, images } from '#shared/contracts/container/images.ts'
import { operations } from '#shared/contracts/core/operations.ts'
import { drivers } from '../../../services/container/drivers/drivers.ts'
import { type ContainerLab, startContainerLab } from '../../lab/containers/containers.ts'
import { labEngines } from '../../lab/containers/engines.ts'
import { type ImageServer, serveImages, startImageServer } from '../../lab/containers/start-image-server.ts'
import { done, work } from '../../lab/product/run-operation.ts'
import { until } from '../../lab/wait.ts'

const { engines } = await labEngines()
const pulling = engines.filter((runtime) => drivers[runtime].images?.pullsFrom === 'server')
let lab: ContainerLab
let server: ImageServer
/** A repeated test has another image: the server has four of each kind. */
let count = 0

beforeAll(async () => {
  lab = await startContainerLab()
  server = await startImageServer(lab.engines)
})
afterAll(async () => {
  await server?.stop()
  await lab?.stop()
})

describe.each(pulling)('a pull by %s from an image server', (runtime) => {
  const paramsOf = (image: string, certificate = server.certificate) => ({
    runtime,
    image,
    server: server.url,
    certificate,
  })
  const all = async () => (await lab.horcrux.call(images, 'list', { filter: `runtime:${runtime}`, limit: 1000 })).data
  const named = async (name: string) => (await all()).filter(({ tags }) => tags.includes(name))
  const nameOf = (kind: string) => `${kind}/${count++ % 4}`

  test('brings the image with its progress, and containers are made of it', async () => {
    const name = nameOf('good')
    const pulled = await work(lab.horcrux, images, 'pull', paramsOf(name))
    expect(pulled, JSON.stringify(pulled.error)).toMatchObject({ state: 'succeeded', progress: { percent: 100 } })
    const { id: image } = pulled.result as Image
    try {
      expect((await named(name)).map((one) => one.id)).toEqual([image])
      const id = `served-${runtime}-${count}`
      await done(lab.horcrux, containers, 'create', { id, name: id, runtime, image: name, start: true })
      const found = await done(lab.horcrux, containers, 'exec', { id, command: ['cat', '/etc/group'] })
      expect(found).toMatchObject({ exit_code: 0, stdout: 'root:x:0:\napp:x:1000:\n' })
      await done(lab.horcrux, containers, 'delete', { id, force: true })
    } finally {
      await done(lab.horcrux, images, 'delete', { id: image })
    }
  })

  test('is refused when the server shows another certificate, or one that no authority has signed', async () => {
    const [name, other] = [nameOf('good'), '0'.repeat(64)]
    const refused = await work(lab.horcrux, images, 'pull', paramsOf(name, other))
    expect(refused.state).toBe('failed')
    expect(refused.error?.message).toContain(`another certificate: ${plain(server.certificate)}, and not ${other}`)
    const unsigned = { runtime, image: name, server: server.url }
    expect((await work(lab.horcrux, images, 'pull', unsigned)).state).toBe('failed')
    expect(await named(name)).toEqual([])
  })

  test('fails with the words of the engine when a file is missing, and leaves no image', async () => {
    const before = (await all()).map(({ engine_id }) => engine_id)
    const failed = await work(lab.horcrux, images, 'pull', paramsOf(nameOf('late')))
    expect(failed.state).toBe('failed')
    expect(failed.error?.message).toMatch(/404|not found/i)
    expect((await all()).map(({ engine_id }) => engine_id)).toEqual(before)
  })

  test('that hangs is cancelled, and leaves no image', async () => {
    const before = (await all()).map(({ engine_id }) => engine_id)
    const countOf = () => server.heard().filter((line) => line === 'hanging').length
    const heard = countOf()
    const params = paramsOf(nameOf('hanging'))
    const { id } = (await lab.horcrux.call(images, 'pull', params)) as unknown as { id: string }
    await until(() => countOf() > heard, { what: 'the half of the file' })
    await lab.horcrux.call(operations, 'cancel', { id })
    expect(await lab.horcrux.call(operations, 'wait', { id, timeout: 60 }, { timeoutMs: 65_000 })).toMatchObject({
      state: 'cancelled',
    })
    expect((await all()).map(({ engine_id }) => engine_id)).toEqual(before)
  })
})

describe.runIf(pulling.length === 2)('a pull from the other engine', () => {
  test.each([
    ['incus', 'lxd'],
    ['lxd', 'incus'],
  ] as const)('by %s from %s brings a public image', async (runtime, from) => {
    const name = `of-${from}-${randomBytes(3).toString('hex')}`
    const given = { runtime: from, path: lab.engines.archive, kind: 'rootfs', name }
    const original = (await done(lab.horcrux, images, 'import', given)) as Image
    const other = await serveImages(lab.engines, from, name)
    try {
      const { url, certificate } = other
      const params = { runtime, image: name, server: url, protocol: 'engine', certificate }
      const pulled = await work(lab.horcrux, images, 'pull', params)
      expect(pulled.state, JSON.stringify(pulled.error)).toBe('succeeded')
      const { id, engine_id, tags } = pulled.result as Image
      expect({ engine_id, tags }).toEqual({ engine_id: original.engine_id, tags: [name] })
      await done(lab.horcrux, images, 'delete', { id })
    } finally {
      await other.stop()
      await done(lab.horcrux, images, 'delete', { id: original.id })
    }
  })
})

const plain = (fingerprint: string) => fingerprint.replaceAll(':', '').toLowerCase()

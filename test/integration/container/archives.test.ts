import { randomBytes } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { readFile, stat } from 'node:fs/promises'
import { request } from 'node:http'
import { Readable } from 'node:stream'
import { extract } from 'tar-stream'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { containers } from '#shared/contracts/container/containers.ts'
import { type Image, images } from '#shared/contracts/container/images.ts'
import { drivers } from '../../../services/container/drivers/drivers.ts'
import { containerMaker, useEngines } from '../../lab/containers/containers.ts'
import { labEngines } from '../../lab/containers/engines.ts'
import { idle } from '../../lab/containers/idle.ts'
import { type Product, startProduct } from '../../lab/product/product.ts'
import { done } from '../../lab/product/run-operation.ts'
import { until } from '../../lab/wait.ts'

const lab = await labEngines()
const withImages = lab.engines.filter((engine) => drivers[engine].images)
let product: Product
const fresh = (word: string) => `${word}-${randomBytes(3).toString('hex')}`

beforeAll(async () => {
  product = await startProduct([], { allowedPaths: [lab.dir] })
  await useEngines(product.horcrux, lab)
})
afterAll(() => product?.stop())

const headers = (token = product.token) => ({ authorization: `Bearer ${token}`, 'content-type': 'application/x-tar' })
const get = (path: string, token?: string) => fetch(`${product.url}/api${path}`, { headers: headers(token) })
const upload = (query: Record<string, string>, body: Buffer) =>
  fetch(`${product.url}/api/images/upload?${new URLSearchParams(query)}`, {
    method: 'POST',
    headers: headers(),
    body: new Uint8Array(body),
  })

async function namesIn(archive: Buffer): Promise<string[]> {
  const names: string[] = []
  const reading = extract()
  Readable.from([archive]).pipe(reading)
  for await (const entry of reading) {
    names.push(entry.header.name.replace(/^\.\//, ''))
    entry.resume()
  }
  return names
}

describe.each(lab.engines)('a whole container of %s', (runtime) => {
  test('comes out as a tar archive, while it runs and when it is stopped', async () => {
    const id = fresh('out')
    await containerMaker(product.horcrux, lab)(runtime, id, { start: true })
    try {
      const command = ['/bin/sh', '-c', 'echo kept > /mark']
      await done(product.horcrux, containers, 'exec', { id, command })
      for (const status of ['running', 'stopped']) {
        if (status === 'stopped') await done(product.horcrux, containers, 'stop', { id, timeout: 0 })
        const answer = await get(`/containers/${id}/export`)
        expect(answer.status, status).toBe(200)
        const names = await namesIn(Buffer.from(await answer.arrayBuffer()))
        expect(
          names.filter((name) => /(^|\/)mark$/.test(name)),
          status,
        ).toHaveLength(1)
      }
      expect((await get('/containers/nobody/export')).status).toBe(404)
    } finally {
      await done(product.horcrux, containers, 'delete', { id, force: true })
    }
  })
})

describe.each(withImages)('an image of %s', (runtime) => {
  test('is made of a root file system that is sent, comes out, and is made again of what came out', async () => {
    const [name, second] = [fresh('sent'), fresh('again')]
    const tiny = await readFile(lab.archive)
    const made = await upload({ runtime, kind: 'rootfs', name }, tiny)
    expect(made.status, await made.clone().text()).toBe(201)
    // The answer is an image.
    const image = (await made.json()) as Image
    expect(image.tags.join()).toContain(name)
    expect(made.headers.get('location')).toBe(`/api/images/${image.id}`)
    const withCommand = drivers[runtime].lacks.command ? {} : { command: idle }
    await containerMaker(product.horcrux, lab)(runtime, name, { image: image.tags[0], ...withCommand })

    // An image of two files is none that the engine gives as one.
    const one = (await product.horcrux.call(images, 'list', { limit: 1000, filter: `runtime:${runtime}` })).data.find(
      ({ tags, runtime: of }) => of === runtime && tags.some((tag) => /^(.*\/)?tiny(:latest)?$/.test(tag)),
    )!
    const out = await get(`/images/${one.id}/export`)
    expect(out.status).toBe(200)
    const archive = Buffer.from(await out.arrayBuffer())
    const back = await upload({ runtime, name: second }, archive)
    expect(back.status, await back.clone().text()).toBe(201)
    // The answer is an image.
    expect(((await back.json()) as Image).tags.join()).toContain(second)
    await done(product.horcrux, containers, 'delete', { id: name, force: true })
    await done(product.horcrux, images, 'delete', { id: image.id })
  })

  test('is not made of something else, nor of an upload that breaks off', async () => {
    const name = fresh('bad')
    expect((await upload({ runtime, kind: 'rootfs', name }, randomBytes(4096))).status).toBe(422)
    expect((await upload({ runtime, kind: 'rootfs' }, Buffer.alloc(1024))).status).toBe(422)
    expect((await upload({ runtime: 'nothing', kind: 'rootfs', name }, Buffer.alloc(1024))).status).toBe(422)
    const { size } = await stat(lab.archive)
    const query = new URLSearchParams({ runtime, kind: 'rootfs', name })
    const sending = request(`${product.url}/api/images/upload?${query}`, {
      method: 'POST',
      headers: { ...headers(), 'content-length': size },
    })
    sending.on('error', () => undefined)
    const half = createReadStream(lab.archive, { end: Math.floor(size / 2) })
    await new Promise<void>((resolve) => {
      half.pipe(sending, { end: false })
      half.on('end', () => resolve())
    })
    sending.destroy()
    const list = async () => (await product.horcrux.call(images, 'list', { limit: 1000 })).data
    // The engine's own work on what has come ends by itself.
    await until(async () => (await list()).every(({ tags }) => !tags.join().includes(name)), { what: 'no image' })
  })
})

test('exports need rights of their own, and are on record', async () => {
  const [runtime] = withImages
  const id = fresh('who')
  await containerMaker(product.horcrux, lab)(runtime!, id)
  const [username, password] = [fresh('eve'), 'Nebelkrähe-12']
  await product.ask('POST /api/users', { json: { username, password } })
  await product.ask('POST /api/permissions', {
    json: { subject: { kind: 'user', id: username }, role: 'Auditor', path: '/api' },
  })
  const { body } = await product.ask('POST /api/auth/login', { json: { username, password } })
  const token = String(body['token'])
  const { data } = await product.horcrux.call(images, 'list', {})
  expect((await get(`/containers/${id}/export`, token)).status).toBe(403)
  expect((await get(`/images/${data[0]!.id}/export`, token)).status).toBe(403)
  expect((await fetch(`${product.url}/api/containers/${id}/export`)).status).toBe(401)
  await (await get(`/containers/${id}/export`)).arrayBuffer()
  await until(
    async () => {
      const { body: page } = await product.ask('GET /api/audit/events?limit=1000&kind=container_exec')
      const all = page['data'] as { action: string; path: string }[]
      return all.some(({ action, path }) => action === 'container-streams.export' && path === `/api/containers/${id}`)
    },
    { what: 'the record' },
  )
  await done(product.horcrux, containers, 'delete', { id, force: true })
})

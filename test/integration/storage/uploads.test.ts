import { createHash, randomBytes } from 'node:crypto'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { contracts } from '#shared/contracts/index.ts'
import { pools } from '#shared/contracts/storage/pools.ts'
import type { Volume } from '#shared/contracts/storage/volumes.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { clusterService } from '../../../services/cluster/service.ts'
import { auditService } from '../../../services/audit/service.ts'
import { authService } from '../../../services/auth/service.ts'
import { createGateway } from '../../../services/gateway/service.ts'
import { storageService } from '../../../services/storage/service.ts'
import { uploadRecords } from '../../../services/storage/uploads/model.ts'
import { sweepUploads } from '../../../services/storage/uploads/uploads.ts'
import { admin } from '../../lab/people/auth.ts'
import { ask } from '../../lab/clients/http.ts'
import { startHorcrux, type TestHorcrux } from '../../lab/product/horcrux.ts'
import { folderOf } from '../../lab/storage/folder-of.ts'
import { hostileImages, manifestOf, ovf, tarOf } from '../../lab/storage/hostile-images.ts'

const MiB = 2 ** 20
const secret = 'the secret of the host '
const host = localHost()
let horcrux: TestHorcrux
let url: string
let token: string
let images: string
let folder: string

beforeAll(async () => {
  const gateway = createGateway(contracts)
  horcrux = await startHorcrux({
    services: [auditService, authService, clusterService, storageService, gateway],
    config: { port: 0, rateLimit: 0, loginLimit: 0, adminPassword: admin.password },
  })
  url = gateway.url()
  token = String((await ask(url, 'POST /api/auth/login', { json: admin })).body['token'])
  images = folderOf(await horcrux.call(pools, 'create', { id: 'images', type: 'dir' }))
  folder = await mkdtemp(join(tmpdir(), 'horcrux-uploads-'))
})
afterAll(async () => {
  await horcrux?.stop()
  await rm(folder, { recursive: true, force: true })
})

type Answer = { status: number; body: Record<string, unknown> }
const api = (line: string, json?: object) => ask(url, line, { token, ...(json && { json }) })
const at = (id: string) => `/api/storage/pools/images/uploads/${id}`
const begin = (name: string, file: Buffer, more: object = {}) =>
  api('POST /api/storage/pools/images/uploads', { name, size: file.length, ...more })
async function patch(id: string, offset: number | string, body: string | Uint8Array<ArrayBuffer>): Promise<Answer> {
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/octet-stream' }
  const answer = await fetch(`${url}${at(id)}?offset=${offset}`, { method: 'PATCH', headers, body })
  return { status: answer.status, body: (await answer.json()) as Answer['body'] }
}
/** Waits for the operation. @returns its end, or the refusal of the request */
async function complete(id: string): Promise<Record<string, unknown>> {
  const { status, body } = await api(`POST ${at(id)}/complete`)
  if (status !== 202) return { state: 'refused', error: body }
  return (await api(`GET /api/operations/${String(body['id'])}/wait?timeout=60`)).body
}
async function upload(name: string, file: Buffer, more: object = {}): Promise<Record<string, unknown>> {
  const { body, status } = await begin(name, file, more)
  expect(status, JSON.stringify(body)).toBe(201)
  expect(await patch(String(body['id']), 0, new Uint8Array(file))).toMatchObject({ status: 200 })
  return complete(String(body['id']))
}
const staged = () => readdir(join(horcrux.dir, 'uploads'))
const contentOf = async (name: string) => {
  const raw = join(folder, 'content.raw')
  await host.runChecked('qemu-img', ['convert', '-f', 'qcow2', '-O', 'raw', join(images, `${name}.qcow2`), raw])
  return readFile(raw)
}
const imageIn = async (format: string, ...options: string[]) => {
  const [raw, image] = [join(folder, 'disk.raw'), join(folder, 'image')]
  const content = Buffer.concat([randomBytes(MiB), Buffer.alloc(2 * MiB), randomBytes(MiB)])
  await writeFile(raw, content)
  await host.runChecked('qemu-img', ['convert', '-f', 'raw', '-O', format, ...options, raw, image])
  return { content, file: await readFile(image) }
}

describe('an uploaded file', () => {
  test.each([
    ['raw', []],
    ['qcow2', []],
    ['vmdk', []],
    ['vmdk', ['-o', 'subformat=streamOptimized']],
    ['vdi', []],
    ['vhdx', []],
  ] as const)('in the format %s %j becomes a volume with its content', async (format, options) => {
    const { content, file } = await imageIn(format, ...options)
    const name = `from-${format}-${options.length}`
    const { state, result, error } = await upload(name, file)
    expect(error ?? null).toBeNull()
    expect(state).toBe('succeeded')
    const sha256 = createHash('sha256').update(file).digest('hex')
    expect(result).toMatchObject({ format, sha256, volume: { name, format: 'qcow2', used_by: null } })
    const disk = await contentOf(name)
    expect(disk.subarray(0, content.length).equals(content)).toBe(true)
    expect((result as { volume: Volume }).volume.size_bytes).toBe(disk.length)
    expect(await staged()).toEqual([])
  })

  test('is the disk in an OVA, named if there are several', async () => {
    const { content, file } = await imageIn('vmdk', '-o', 'subformat=streamOptimized')
    const descriptor = ovf('a.vmdk', 'b.vmdk')
    const other = (await imageIn('vmdk')).file
    const archive = await tarOf([
      { name: 'web.ovf', data: descriptor },
      { name: 'web.mf', data: manifestOf({ 'web.ovf': descriptor, 'a.vmdk': other, 'b.vmdk': file }) },
      { name: 'a.vmdk', data: other },
      { name: 'b.vmdk', data: file },
    ])
    expect(await upload('which', archive)).toMatchObject({
      error: { message: expect.stringMatching(/a.vmdk, b.vmdk/) },
    })
    expect(await upload('ova', archive, { disk: 'b.vmdk', format: 'ova' })).toMatchObject({ state: 'succeeded' })
    expect((await contentOf('ova')).equals(content)).toBe(true)
  })

  test('arrives in parts, goes on after a cut, and is compared with its digest', async () => {
    const { content, file } = await imageIn('raw')
    const sha256 = createHash('sha256').update(file).digest('hex')
    const { body } = await begin('parts', file, { sha256 })
    const id = String(body['id'])
    expect(await complete(id)).toMatchObject({ error: { status: 409, details: { received_bytes: 0 } } })
    const first = 700_001
    expect(await patch(id, 0, new Uint8Array(file.subarray(0, first)))).toMatchObject({
      body: { received_bytes: first },
    })
    // Bytes that have arrived already change nothing; a gap is refused.
    expect(await patch(id, 0, new Uint8Array(randomBytes(1000)))).toMatchObject({ body: { received_bytes: first } })
    expect(await patch(id, first + 1, 'x')).toMatchObject({ status: 409, body: { details: { received_bytes: first } } })
    expect(await patch(id, 'x', 'x')).toMatchObject({ status: 422 })
    // The client dies in the middle.
    const cut = new AbortController()
    const dying = new ReadableStream({
      start: (stream) => stream.enqueue(new Uint8Array(file.subarray(first, first + MiB))),
      pull: () => cut.abort(),
    })
    const init = { method: 'PATCH', body: dying, duplex: 'half', signal: cut.signal } as RequestInit
    const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/octet-stream' }
    await expect(fetch(`${url}${at(id)}?offset=${first}`, { ...init, headers })).rejects.toThrow()
    let received = Number((await api(`GET ${at(id)}`)).body['received_bytes'])
    expect(received).toBeGreaterThanOrEqual(first)
    let answer = await patch(id, received, new Uint8Array(file.subarray(received)))
    for (let time = 0; answer.status === 409 && time < 50; time++) {
      received = Number((await api(`GET ${at(id)}`)).body['received_bytes'])
      answer = await patch(id, received, new Uint8Array(file.subarray(received)))
    }
    expect(answer).toMatchObject({ status: 200, body: { received_bytes: file.length } })
    expect(await patch(id, file.length, 'more')).toMatchObject({ status: 422 })
    expect(await complete(id)).toMatchObject({ state: 'succeeded', result: { sha256 } })
    expect((await contentOf('parts')).equals(content)).toBe(true)
  })

  test('with another digest is refused, stays until it is cancelled, and leaves nothing', async () => {
    const { file } = await imageIn('raw')
    const ended = await upload('other', file, { sha256: 'a'.repeat(64) })
    expect(ended).toMatchObject({ error: { error: 'VALIDATION_ERROR', message: expect.stringMatching(/^sha256: /) } })
    const [left] = (await api('GET /api/storage/pools/images/uploads?filter=name:other')).body['data'] as {
      id: string
    }[]
    expect(await staged()).toContain(left!.id)
    expect(await api(`DELETE ${at(left!.id)}`)).toMatchObject({ status: 204 })
    expect(await api(`GET ${at(left!.id)}`)).toMatchObject({ status: 404 })
    expect(await patch(left!.id, 0, 'x')).toMatchObject({ status: 404 })
    expect(await staged()).not.toContain(left!.id)
  })

  test('that gets no part until its expiry is removed', async () => {
    const { body } = await begin('expired', Buffer.alloc(MiB))
    const id = String(body['id'])
    await sweepUploads()
    expect(await staged()).toContain(id)
    await uploadRecords.updateWhere({ _id: id }, { set: { expires_at: '2020-01-01T00:00:00.000Z' } })
    await sweepUploads()
    expect(await staged()).not.toContain(id)
    expect(await api(`GET ${at(id)}`)).toMatchObject({ status: 404 })
  })

  test('takes no name of a volume, and needs the right on the storage pool', async () => {
    expect(await begin('from-raw-0', Buffer.alloc(MiB))).toMatchObject({ status: 409 })
    expect(await begin('../x', Buffer.alloc(MiB))).toMatchObject({ status: 422 })
    const anonymous = await fetch(`${url}${at('0198d1c5-7b1e-7000-8000-000000000001')}?offset=0`, {
      method: 'PATCH',
      headers: { 'content-type': 'application/octet-stream' },
      body: 'x',
    })
    expect(anonymous.status).toBe(401)
  })
})

describe('a hostile file (V11)', () => {
  test('is refused with 422, whatever it is, and the secret file comes into no volume', async () => {
    const file = join(folder, 'secret')
    await writeFile(file, secret.repeat(MiB / 8))
    const before = await readdir(images)
    for (const { name, file: bytes, reason, format } of await hostileImages(folder, file)) {
      const ended = await upload('hostile', bytes, format === undefined ? {} : { format })
      expect(ended, name).toMatchObject({
        error: { error: 'VALIDATION_ERROR', message: expect.stringMatching(reason) },
      })
      expect(ended['state'], name).toMatch(/refused|failed|rolled_back/)
      const left = (await api('GET /api/storage/pools/images/uploads')).body['data'] as { id: string }[]
      for (const { id } of left) await api(`DELETE ${at(id)}`)
    }
    expect(await readdir(images)).toEqual(before)
    for (const name of before) expect((await readFile(join(images, name))).includes(secret), name).toBe(false)
    expect(await staged()).toEqual([])
  })
})

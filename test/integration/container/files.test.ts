import { randomBytes } from 'node:crypto'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { extract, pack } from 'tar-stream'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { containers } from '#shared/contracts/container/containers.ts'
import type { Result } from '#shared/contract/contract.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { containerMaker, useEngines } from '../../lab/containers/containers.ts'
import { labEngines } from '../../lab/containers/engines.ts'
import { sample, seedOf } from '../../lab/faults/seed.ts'
import { type Product, startProduct } from '../../lab/product/product.ts'
import { done } from '../../lab/product/run-operation.ts'
import { until } from '../../lab/wait.ts'

const lab = await labEngines()
const tag = randomBytes(3).toString('hex')
/** Rights and records are the same on all engines. */
const drawn = sample(lab.engines, seedOf('files of containers'), 1)
let product: Product

beforeAll(async () => {
  product = await startProduct([], { allowedPaths: [lab.dir] })
  await useEngines(product.horcrux, lab)
})
afterAll(() => product?.stop())

const exec = async (id: string, script: string) =>
  (await done(product.horcrux, containers, 'exec', { id, command: ['/bin/sh', '-c', script] })) as Result<
    typeof containers,
    'exec'
  >
const at = (id: string, path: string) => `${product.url}/api/containers/${id}/files?${new URLSearchParams({ path })}`
const headers = (token = product.token) => ({ authorization: `Bearer ${token}`, 'content-type': 'application/x-tar' })
const get = (id: string, path: string) => fetch(at(id, path), { headers: headers() })
const put = (id: string, path: string, body: Buffer) =>
  fetch(at(id, path), { method: 'PUT', headers: headers(), body: new Uint8Array(body) })

/** The entries of an archive: the text of each file by its name. */
async function entriesOf(archive: Buffer): Promise<Record<string, string>> {
  const entries: Record<string, string> = {}
  const reading = extract()
  Readable.from([archive]).pipe(reading)
  for await (const entry of reading) {
    const { name, type, linkname } = entry.header
    const content = (await buffer(entry)).toString('utf8')
    entries[name.replace(/\/$/, '')] = type === 'symlink' ? `-> ${linkname}` : content
  }
  return entries
}

async function archiveOf(files: { name: string; content?: string | Buffer; linkname?: string }[]): Promise<Buffer> {
  const packing = pack()
  for (const { name, content, linkname } of files) {
    if (linkname === undefined) packing.entry({ name, mode: 0o640 }, content ?? '')
    else packing.entry({ name, linkname, type: 'symlink' })
  }
  packing.finalize()
  return buffer(packing)
}

describe.each(lab.engines)('files of a container of %s', (runtime) => {
  const id = `files-${runtime}-${tag}`
  beforeAll(() => containerMaker(product.horcrux, lab)(runtime, id, { start: true }))
  afterAll(() => done(product.horcrux, containers, 'delete', { id, force: true }))

  test('come out as a tar archive: a file, a folder with what is in it, a link as a link', async () => {
    await exec(id, 'mkdir -p /data/in; echo one >/data/a; echo two >/data/in/-b; ln -s /etc/passwd /data/link')
    const answer = await get(id, '/data')
    expect(answer.status).toBe(200)
    expect(answer.headers.get('content-type')).toBe('application/x-tar')
    expect(await entriesOf(Buffer.from(await answer.arrayBuffer()))).toEqual({
      data: '',
      'data/a': 'one\n',
      'data/in': '',
      'data/in/-b': 'two\n',
      'data/link': '-> /etc/passwd',
    })
    const one = await entriesOf(Buffer.from(await (await get(id, '/data/in/-b')).arrayBuffer()))
    expect(Object.values(one)).toEqual(['two\n'])
    expect((await get(id, '/no/such')).status).toBe(404)
    // On engines without an API for archives, the files of the kernel would be in it.
    const root = await get(id, '/')
    expect(root.status).toBe(runtime === 'docker' || runtime === 'podman' ? 200 : 409)
    await root.arrayBuffer()
    expect((await get(id, 'relative')).status).toBe(422)
  })

  test('go in, large ones too, and come back byte by byte', async () => {
    await exec(id, 'mkdir -p /in')
    const large = randomBytes(3_000_000)
    const archive = await archiveOf([
      { name: 'sub/small', content: 'hello' },
      { name: 'large', content: large },
    ])
    expect((await put(id, '/in', archive)).status).toBe(204)
    expect((await exec(id, 'cat /in/sub/small')).stdout).toBe('hello')
    const back = extract()
    Readable.from([Buffer.from(await (await get(id, '/in/large')).arrayBuffer())]).pipe(back)
    for await (const entry of back) expect((await buffer(entry)).equals(large)).toBe(true)
    expect((await put(id, '/no/such', archive)).status).toBe(404)
    expect((await put(id, '/in', Buffer.from('this is no archive'.repeat(100)))).status).toBe(409)
  })

  test('never lead to a file of the node: neither by links and .. in the container, nor by an archive', async () => {
    const secret = `${lab.dir}/secret-${tag}`
    await localHost().writeFile(secret, 'of the node')
    const out = `${lab.dir}/out-${tag}`
    await localHost().mkdir(out, { mode: 0o777 })
    await exec(id, `ln -s ${secret} /leak; ln -s ${lab.dir} /folder; ln -s / /root-link`)
    for (const path of [
      `/folder/secret-${tag}`,
      `/root-link${secret}`,
      `/../../../../..${secret}`,
      `/data/..${secret}`,
    ])
      expect(await (await get(id, path)).text(), path).not.toContain('of the node')
    expect(await (await get(id, '/leak')).text()).not.toContain('of the node')
    const hostile = await archiveOf([
      { name: 'escape', linkname: out },
      { name: 'escape/file', content: 'x' },
      { name: `../../../../..${out}/file`, content: 'x' },
      { name: `${out}/file`, content: 'x' },
    ])
    await put(id, '/tmp', hostile)
    await put(id, `/root-link${out}`, await archiveOf([{ name: 'file', content: 'x' }]))
    expect(await localHost().list(out)).toEqual([])
    await localHost().remove(secret)
    await localHost().remove(out, { recursive: true })
  })

  test.runIf(drawn.includes(runtime))('need the right to run commands, and are on record', async () => {
    const username = `bob-${runtime}-${tag}`
    const password = 'Nebelkrähe-12'
    await product.ask('POST /api/users', { json: { username, password } })
    await product.ask('POST /api/permissions', {
      json: { subject: { kind: 'user', id: username }, role: 'Auditor', path: `/api/containers/${id}` },
    })
    const { body } = await product.ask('POST /api/auth/login', { json: { username, password } })
    expect((await fetch(at(id, '/etc'), { headers: headers(String(body['token'])) })).status).toBe(403)
    expect((await fetch(at(id, '/etc'))).status).toBe(401)
    await (await get(id, '/etc/passwd')).arrayBuffer()
    await until(
      async () => {
        const { body: page } = await product.ask('GET /api/audit/events?limit=1000&kind=container_exec')
        const all = page['data'] as { action: string; path: string; message: string | null }[]
        return all.some(
          ({ action, path, message }) =>
            action === 'container-streams.getFiles' && path === `/api/containers/${id}` && message === '/etc/passwd',
        )
      },
      { what: 'the record' },
    )
  })
})

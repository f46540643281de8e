import { afterAll, beforeAll, expect, test } from 'vitest'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { ask } from '../lab/clients/http.ts'
import { type Product, startProduct } from '../lab/product/product.ts'
import { openSocket } from '../lab/clients/sockets.ts'
import { until } from '../lab/wait.ts'
import { labHosts } from '../lab/hosts/lab.ts'

const GiB = 2 ** 30
const [host] = labHosts
const wait = { headers: { prefer: 'wait=60' } }
const password = 'Nebelkrähe-12'
let product: Product

beforeAll(async () => {
  product = await startProduct([host!])
})
afterAll(() => product?.stop())

const virsh = async (...words: string[]) => (await localHost().runChecked('virsh', ['-c', host!.uri, ...words])).stdout

async function signedIn(username: string): Promise<string> {
  const made = await product.ask('POST /api/users', { json: { username, password } })
  expect(made.status).toBe(201)
  const { body } = await ask(product.url, 'POST /api/auth/login', { json: { username, password } })
  return String(body['token'])
}

test('a first virtual machine, with nothing but HTTP', async () => {
  const pool = await product.ask('POST /api/storage/pools', {
    json: { id: 'disks', type: 'dir', node: 'hv1', path: '/var/lib/libvirt/images/disks' },
  })
  expect(pool).toMatchObject({ status: 201, body: { id: 'disks', health: 'ok' } })
  const asked = await product.ask('POST /api/vms', {
    json: { id: 'web', name: 'web', memory: 128, cpus: 1, node: 'hv1', disks: [{ pool: 'disks', size: GiB }] },
  })
  expect(asked.status).toBe(202)
  expect(asked.headers['location']).toBe(`/api/operations/${String(asked.body['id'])}`)
  const created = await product.ask(`GET ${asked.headers['location']}/wait?timeout=60`)
  expect(created.body).toMatchObject({ state: 'succeeded', result: { id: 'web', status: 'stopped' } })

  const socket = await openSocket(product.url, {
    headers: { authorization: `Bearer ${product.token}` },
    first: { topics: ['vm:status', 'vm:events'] },
  })
  await socket.next('Subscribed')
  for (const [action, status] of [
    ['start', 'running'],
    ['pause', 'paused'],
    ['resume', 'running'],
    ['stop', 'shut off'],
  ] as const) {
    expect(await product.ask(`POST /api/vms/web/${action}`, wait)).toMatchObject({
      status: 200,
      body: { state: 'succeeded' },
    })
    expect(await virsh('domstate', 'web')).toContain(status)
  }
  expect(await product.ask('DELETE /api/vms/web?purge=true', wait)).toMatchObject({
    status: 200,
    body: { state: 'succeeded' },
  })
  expect(await product.ask('GET /api/vms/web')).toMatchObject({
    status: 404,
    body: { message: "Virtual machine 'web' not found" },
  })
  const heard = () =>
    socket.events().map(({ type, data }) => (type === 'VmStatusChanged' ? String(data['new_status']) : type))
  await until(() => heard().includes('VmDeleted'), { what: 'the event of the deletion' })
  expect(heard()).toEqual(['running', 'paused', 'running', 'stopped', 'VmDeleted'])
  socket.socket.close()
})

test('a user without rights is told the missing privilege and the path', async () => {
  const token = await signedIn('nobodyspecial')
  const refused = await ask(product.url, 'POST /api/vms/web/start', { token })
  expect(refused).toMatchObject({ status: 403, body: { error: 'FORBIDDEN' } })
  expect(refused.body['message']).toMatch(/nobodyspecial.*VmPowerMgmt.*\/api\/vms\/web/)
  expect((await ask(product.url, 'GET /api/vms', { token })).body).toEqual({ data: [], next_cursor: null, total: 0 })
})

test('a grant on one machine gives that machine and no other', async () => {
  for (const id of ['mine', 'theirs'])
    await product.ask('POST /api/vms', { ...wait, json: { id, name: id, memory: 128, cpus: 1, node: 'hv1' } })
  const token = await signedIn('ann')
  const grant = await product.ask('POST /api/permissions', {
    json: { subject: { kind: 'user', id: 'ann' }, role: 'VmUser', path: '/api/vms/mine' },
  })
  expect(grant.status, grant.text).toBe(201)
  await until(async () => (await ask(product.url, 'GET /api/vms', { token })).body['total'] === 1)
  expect(await ask(product.url, 'GET /api/vms/mine', { token })).toMatchObject({ status: 200 })
  expect(await ask(product.url, 'GET /api/vms/theirs', { token })).toMatchObject({ status: 403 })
  for (const id of ['mine', 'theirs']) await product.ask(`DELETE /api/vms/${id}`, wait)
})

test('three mistakes are one answer with three violations', async () => {
  const { status, body } = await product.ask('POST /api/vms', { json: { name: 'a b', memory: 100, cpus: 0 } })
  expect(status).toBe(422)
  expect((body['violations'] as { field: string }[]).map(({ field }) => field).toSorted()).toEqual([
    'cpus',
    'memory',
    'name',
  ])
})

test('actions done, attempted and refused are in the audit', async () => {
  const { body } = await product.ask('GET /api/audit/events?limit=1000')
  const records = body['data'] as { kind: string; result: string; path: string; user: string }[]
  const has = (kind: string, result: string, path: string) =>
    records.some((record) => record.kind === kind && record.result === result && record.path === path)
  expect(has('vm_created', 'accepted', '/api/vms/web')).toBe(true)
  expect(has('vm_created', 'success', '/api/vms/web')).toBe(true)
  expect(has('vm_deleted', 'success', '/api/vms/web')).toBe(true)
  expect(has('pool_created', 'success', '/api/storage/pools/disks')).toBe(true)
  expect(has('permission_denied', 'denied', '/api/vms/web')).toBe(true)
  expect(records.some(({ kind }) => kind === 'login')).toBe(true)
})

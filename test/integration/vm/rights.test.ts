import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { event, now } from '#shared/events/event.ts'
import { publish } from '#shared/events/publish.ts'
import { ask } from '../../lab/clients/http.ts'
import { type Product, startProduct } from '../../lab/product/product.ts'
import { openSocket } from '../../lab/clients/sockets.ts'
import { until } from '../../lab/wait.ts'
import { labHosts } from '../../lab/hosts/lab.ts'

const GiB = 2 ** 30
const [host] = labHosts
const password = 'Kirschkuchen-12'
const waiting = { prefer: 'wait=50' }
type Person = { token: string; ask: (line: string, json?: unknown) => ReturnType<typeof ask> }
let product: Product

const asRoot = async (line: string, json?: unknown, status = 200) => {
  const answer = await product.ask(line, { headers: waiting, ...(json !== undefined && { json }) })
  expect(answer.status, answer.text).toBe(status)
  return answer.body
}
const grant = (id: string, role: string, path: string, kind = 'user') =>
  asRoot('POST /api/permissions', { subject: { kind, id }, role, path }, 201)

async function person(username: string, ...grants: [string, string][]): Promise<Person> {
  await asRoot('POST /api/users', { username, password }, 201)
  for (const [role, path] of grants) await grant(username, role, path)
  const { body } = await ask(product.url, 'POST /api/auth/login', { json: { username, password } })
  const token = String(body['token'])
  return {
    token,
    ask: (line, json) => ask(product.url, line, { token, headers: waiting, ...(json !== undefined && { json }) }),
  }
}
const newVm = (id: string, more: object = {}) => ({ id, name: id, memory: 128, cpus: 1, node: 'hv1', ...more })
const disks = (pool: string) => [{ pool, size: GiB }]
const pathOf = (pool: string) => `/var/lib/libvirt/images/${pool}`

beforeAll(async () => {
  product = await startProduct([host!])
  for (const id of ['room', 'locked'])
    await asRoot('POST /api/storage/pools', { id, type: 'dir', node: 'hv1', path: pathOf(id) }, 201)
})
afterAll(() => product?.stop())

test('a disk takes a right on its storage pool, wherever one is made', async () => {
  const maker = await person('maker', ['VmAdmin', '/api/vms/**'])
  await asRoot('POST /api/vms', newVm('r-source', { disks: disks('room') }))
  await asRoot('POST /api/vms', newVm('r-plan', { disks: disks('room') }))
  await asRoot('POST /api/templates', { vm_id: 'r-plan' })
  expect((await maker.ask('POST /api/vms', newVm('r-bare'))).status).toBe(200)
  const ways: [string, object][] = [
    ['POST /api/vms', newVm('r-disk', { disks: disks('room') })],
    ['POST /api/vms/r-bare/disks', { pool: 'room', size: GiB }],
    ['POST /api/vms/r-source/clone', { id: 'r-copy', name: 'r-copy', mode: 'full' }],
    ['POST /api/templates/r-plan/deploy', { id: 'r-deployed', name: 'r-deployed' }],
    ['POST /api/vms/r-source/disks/vda/resize', { size: 2 * GiB }],
  ]
  const missing = { privilege: 'DatastoreAllocate', path: '/api/storage/pools/room', user: 'maker' }
  for (const [line, json] of ways) {
    const refused = await maker.ask(line, json)
    expect([refused.status, refused.body['details']], line).toEqual([403, missing])
  }
  expect((await asRoot('GET /api/storage/pools/room/volumes'))['total']).toBe(2)

  await grant('maker', 'VmAdmin', '/api/storage/pools/room')
  for (const [line, json] of ways) expect((await maker.ask(line, json)).status, line).toBe(200)
  const elsewhere = await maker.ask('POST /api/vms/r-source/clone', {
    id: 'r-away',
    name: 'r-away',
    mode: 'full',
    pool: 'locked',
  })
  expect(elsewhere).toMatchObject({ status: 403, body: { details: { path: '/api/storage/pools/locked' } } })
  expect((await asRoot('GET /api/storage/pools/room/volumes'))['total']).toBe(6)
})

test('a user with the right to allocate in one storage pool cannot copy into another', async () => {
  const keeper = await person('keeper', ['StorageAdmin', '/api/storage/pools/room'])
  await asRoot('POST /api/storage/pools/room/volumes', { name: 'r-spare', size: GiB })
  const copy = (pool: string) =>
    keeper.ask('POST /api/storage/pools/room/volumes/r-spare/clone', { name: 'r-spare-2', mode: 'full', pool })
  expect(await copy('locked')).toMatchObject({ status: 403, body: { details: { path: '/api/storage/pools/locked' } } })
  expect((await copy('room')).status).toBe(200)
})

test('neither a disk nor a file of Horcrux’s own can be read by naming it as an ISO or a kernel', async () => {
  const reader = await person('curious', ['VmAdmin', '/api/vms/r-bare'])
  const refused = async (json: object) => (await reader.ask('PATCH /api/vms/r-bare', json)).body['violations']
  const disk = `${pathOf('room')}/r-source-disk-0.qcow2`
  expect(await refused({ iso: disk })).toMatchObject([{ field: 'iso', code: 'disk' }])
  expect(await refused({ boot: { kernel: disk } })).toMatchObject([{ field: 'boot.kernel', code: 'disk' }])
  expect(await refused({ iso: `${pathOf('room')}/r-spare.qcow2` })).toMatchObject([{ field: 'iso', code: 'disk' }])
  const seed = '/var/lib/horcrux/seeds/r-source.iso'
  expect(await refused({ iso: seed })).toMatchObject([{ field: 'iso', code: 'forbidden_path' }])
})

test('adopting a guest needs the right to change its node', async () => {
  const taker = await person('taker', ['VmAdmin', '/'])
  expect(await taker.ask('POST /api/vms/adopt', { node: 'hv1', domain: 'payroll' })).toMatchObject({
    status: 403,
    body: { details: { privilege: 'SysModify', path: '/api/cluster/nodes/hv1' } },
  })
})

test('adopting the guests of a node, and importing an upload, need the rights on node and storage pool', async () => {
  const mover = await person('mover', ['VmAdmin', '/'])
  expect(await mover.ask('POST /api/cluster/nodes/hv1/domains/adopt', { plan: true })).toMatchObject({
    status: 403,
    body: { details: { privilege: 'SysModify', path: '/api/cluster/nodes/hv1' } },
  })
  const upload = '0198d1c5-7b1e-7000-8000-0000000000af'
  const sender = await person('sender', ['VmAdmin', '/api/vms/**'])
  for (const plan of [true, false])
    expect(await sender.ask('POST /api/vms/import', { pool: 'locked', upload, plan })).toMatchObject({
      status: 403,
      body: { details: { privilege: 'DatastoreAllocate', path: '/api/storage/pools/locked' } },
    })
})

test("the event of a VM's deletion reaches those who could see it; their rights to it are gone", async () => {
  await asRoot('POST /api/resource-pools', { id: 'r-team', name: 'r-team' }, 201)
  await asRoot('POST /api/vms', newVm('r-gone', { resource_pool: 'r-team' }))
  const mark: [string, string] = ['VmUser', '/api/vms/r-mark']
  const people = {
    direct: await person('direct', mark, ['VmUser', '/api/vms/r-gone']),
    grouped: await person('grouped', mark),
    pooled: await person('pooled', mark, ['VmUser', '/api/resource-pools/r-team']),
    outside: await person('outside', mark, ['VmUser', '/api/vms/r-gon']),
  }
  await asRoot('POST /api/groups', { id: 'r-group', name: 'r-group', members: ['grouped'] }, 201)
  await grant('r-group', 'VmUser', '/api/vms/r-gone/**', 'group')
  const topics = ['vm:events', 'vm:status']
  const open = async ({ token }: Person, from?: number) => {
    const socket = await openSocket(product.url, { first: { token, topics, ...(from !== undefined && { from }) } })
    return { ...socket, begun: (await socket.next('Subscribed')).seq }
  }
  const sockets = await Promise.all(Object.values(people).map((one) => open(one)))
  await asRoot('DELETE /api/vms/r-gone')
  const told = { vm_id: 'r-mark', old_status: 'stopped', new_status: 'running', timestamp: now() } as const
  await publish(event('VmStatusChanged', told))
  const heard = async ({ next, events }: Awaited<ReturnType<typeof open>>) => {
    await next('VmStatusChanged')
    return events().flatMap(({ type, data }) => (type === 'VmDeleted' ? [data['vm_id']] : []))
  }
  expect(await Promise.all(sockets.map(heard))).toEqual([['r-gone'], ['r-gone'], ['r-gone'], []])
  // Also who comes again only later, when no right to it is left.
  const again = await Promise.all(Object.values(people).map((one, i) => open(one, sockets[i]!.begun)))
  expect(await Promise.all(again.map(heard))).toEqual([['r-gone'], ['r-gone'], ['r-gone'], []])
  for (const { socket } of [...sockets, ...again]) socket.close()

  await asRoot('POST /api/vms', newVm('r-gone'))
  for (const { ask: asked } of Object.values(people)) expect((await asked('GET /api/vms/r-gone')).status).toBe(403)
  await until(async () => (await asRoot('GET /api/operations?filter=state:running'))['total'] === 0)
})

test('a list tells of each VM what the caller may do with it in its state', async () => {
  await asRoot('POST /api/vms', newVm('c-own'))
  await asRoot('POST /api/vms', newVm('c-other'))
  const user = await person('c-user', ['VmUser', '/api/vms/c-own'], ['Auditor', '/api/vms/c-other'])
  const { status, body } = await user.ask('GET /api/vms?can=1&fields=name&q=c-&sort=name')
  expect(status).toBe(200)
  expect(body['data']).toEqual([
    { id: 'c-other', name: 'c-other', can: [], cannot: expect.objectContaining({}) },
    { id: 'c-own', name: 'c-own', can: ['start'], cannot: expect.objectContaining({}) },
  ])
  const [other, own] = body['data'] as { cannot: Record<string, { error: string }> }[]
  expect(other!.cannot['start']!.error).toBe('FORBIDDEN')
  expect([own!.cannot['stop']!.error, own!.cannot['delete']!.error]).toEqual(['CONFLICT', 'FORBIDDEN'])
})

test('one action with many VMs has a plan, and what fails or is refused stops nothing else', async () => {
  const ids = ['b-1', 'b-2', 'b-own', 'b-on']
  for (const id of ids) await asRoot('POST /api/vms', newVm(id, id === 'b-1' ? { disks: disks('room') } : {}))
  await asRoot('POST /api/vms/b-on/start')
  const user = await person(
    'b-user',
    ...['b-1', 'b-2', 'b-on'].map((id): [string, string] => ['VmUser', `/api/vms/${id}`]),
  )
  const asked = { action: 'start', ids: [...ids, 'b-none'] }
  const { body: plan } = await user.ask('POST /api/vms/bulk', { ...asked, plan: true })
  expect(plan).toMatchObject({
    does: [{ id: 'b-1' }, { id: 'b-2' }],
    skipped: [{ id: 'b-on', message: 'status is running, and must be stopped' }],
    // A VM that the caller may not see is answered as one that does not exist.
    refused: [
      { id: 'b-own', error: 'NOT_FOUND' },
      { id: 'b-none', error: 'NOT_FOUND' },
    ],
  })
  await rm(join(host!.dir, 'room/b-1-disk-0.qcow2'))
  const { body: operation } = await user.ask('POST /api/vms/bulk', asked)
  expect(operation, JSON.stringify(operation)).toMatchObject({ state: 'succeeded' })
  const stale = await ask(product.url, 'POST /api/vms/bulk', {
    token: user.token,
    json: asked,
    headers: { 'if-plan': String(plan['plan_id']) },
  })
  expect(stale.status).toBe(412)
  expect(operation['result']).toMatchObject({
    done: ['b-2'],
    failed: [{ id: 'b-1', message: expect.stringContaining('b-1-disk-0') }],
    skipped: [{ id: 'b-on' }],
    refused: [{ id: 'b-own' }, { id: 'b-none' }],
  })
  const [failed] = (operation['result'] as { failed: { operation_id: string }[] }).failed
  expect((await user.ask(`GET /api/operations/${failed!.operation_id}`)).body).toMatchObject({ state: 'failed' })
})

test('a bulk request is refused for what it names wrongly', async () => {
  const wrong = async (json: object) => {
    const { status, body } = await product.ask('POST /api/vms/bulk', { json })
    expect(status).toBe(422)
    return (body['violations'] as { field: string }[]).map(({ field }) => field).toSorted()
  }
  expect(await wrong({ action: 'start' })).toEqual(['ids'])
  expect(await wrong({ action: 'create', ids: ['a'] })).toEqual(['action'])
  expect(await wrong({ action: 'stop', ids: ['a'], params: { timeout: -1, when: 1 } })).toEqual([
    'params.timeout',
    'params.when',
  ])
  const { status, body } = await product.ask('POST /api/vms/bulk', { json: { action: 'start', q: 'name:nobody' } })
  expect([status, body['message']]).toEqual([409, 'There is nothing to start: nothing fits'])
})

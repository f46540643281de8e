import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Deployment, startDeployment } from '../../lab/product/deployment.ts'
import { type Answered, ask } from '../../lab/clients/http.ts'
import { asNode } from '../../lab/faults/scenarios.ts'
import { until } from '../../lab/wait.ts'
import { labHosts } from '../../lab/hosts/lab.ts'

const GiB = 2 ** 30
const password = 'Kirschkuchen-12'
const [host] = labHosts
const nothing = { cpus: 0, memory: 0, disk: 0, instances: 0 }
type Used = typeof nothing
type Given = { token?: string; json?: object; headers?: Record<string, string> }

let horcrux: Deployment
const call = (line: string, { headers = {}, ...given }: Given = {}) =>
  ask(horcrux.gateways[0]!.url, line, { token: horcrux.token, headers, ...given })
/** An operation, waited for. */
const done = async (line: string, given: Given = {}) => {
  const answer = await call(line, { ...given, headers: { prefer: 'wait=60' } })
  expect(answer.status, answer.text).toBe(200)
}
const newVm = (id: string, more: object = {}) => ({ id, name: id, memory: 128, cpus: 1, node: 'hv1', ...more })
const makePool = (id: string, limits: object = {}) =>
  call('POST /api/resource-pools', { json: { id, name: id, limits } })
const poolOf = async (id: string) =>
  (await call(`GET /api/resource-pools/${id}`)).body as { used: Used; members: { id: string }[] }
const usedOf = async (id: string) => (await poolOf(id)).used

beforeAll(async () => {
  horcrux = await startDeployment()
  await done('POST /api/cluster/nodes', { json: asNode('hv1', host!) })
  for (const id of ['images', 'secret'])
    await call('POST /api/storage/pools', {
      json: { id, type: 'dir', node: 'hv1', path: `/var/lib/libvirt/images/${id}` },
    })
})
afterAll(() => horcrux?.stop())

const vmIds = async (): Promise<string[]> =>
  ((await call('GET /api/vms?limit=1000')).body['data'] as { id: string }[]).map(({ id }) => id)
/** All that works has come to its end. */
const quiet = () =>
  until(
    async () => {
      const { body } = await call('GET /api/operations?limit=1000')
      const states = (body['data'] as { state: string }[]).map(({ state }) => state)
      return !states.some((state) => ['queued', 'running', 'cancelling'].includes(state))
    },
    { what: 'all operations to end', intervalMs: 250 },
  )
async function deleteAll(): Promise<void> {
  for (const id of await vmIds()) await done(`DELETE /api/vms/${id}?purge=true`)
}
/** So many creations at once, and what is said to each. */
async function create(pool: string, count: number, more: object = {}): Promise<Answered[]> {
  const json = (i: number) => newVm(`${pool}-${i}`, { resource_pool: pool, ...more })
  const answers = Array.from({ length: count }, (_, i) => call('POST /api/vms', { json: json(i) }))
  return Promise.all(answers)
}

test.each([
  { limit: 'cpus', limits: { cpus: 41 }, count: 200, fit: 20, vm: { cpus: 2 }, says: '2 vCPUs wanted, 40 of 41 used' },
  { limit: 'memory', limits: { memory: 1200 }, count: 40, fit: 4, vm: { memory: 256 }, says: '256 MiB memory wanted' },
  { limit: 'instances', limits: { instances: 5 }, count: 40, fit: 5, vm: {}, says: '1 instances wanted, 5 of 5 used' },
  {
    limit: 'disk',
    limits: { disk: 7 * GiB },
    count: 40,
    fit: 3,
    vm: { disks: [{ pool: 'images', size: 2 * GiB }] },
    says: `${2 * GiB} bytes disk wanted, ${6 * GiB} of ${7 * GiB} used`,
  },
])('of $count creations at once as many succeed as the limit of $limit has room for', async (given) => {
  const { limit, limits, count, fit, vm, says } = given
  await makePool(limit, limits)
  const answers = await create(limit, count, vm)
  const refused = answers.filter(({ status }) => status !== 202)
  const others = refused.filter(({ status }) => status !== 409)
  expect(others.map(({ text }) => text)).toEqual([])
  expect(answers.length - refused.length).toBe(fit)
  for (const { status, body } of refused) {
    expect(status).toBe(409)
    expect(body).toMatchObject({ error: 'CONFLICT', details: { pool: limit } })
    expect(body['message']).toContain(says)
  }
  await quiet()
  expect(await vmIds()).toHaveLength(fit)
  const { used, members } = await poolOf(limit)
  const { cpus = 1, memory = 128, disks = [] } = vm as { cpus?: number; memory?: number; disks?: unknown[] }
  expect(used).toEqual({
    cpus: fit * cpus,
    memory: fit * memory,
    disk: fit * disks.length * 2 * GiB,
    instances: fit,
  })
  expect(members).toHaveLength(fit)
  await deleteAll()
  expect(await poolOf(limit)).toMatchObject({ used: nothing, members: [] })
})

test('after kill -9 during creations the resource pool counts the VMs that exist, and nothing once they are deleted', async () => {
  await makePool('shaken', { cpus: 12 })
  const vm = horcrux.services.find(({ name }) => name.startsWith('vm'))!
  const asked = create('shaken', 60)
  await until(async () => (await usedOf('shaken')).instances >= 3, { what: 'the first to be counted', intervalMs: 1 })
  await vm.kill()
  await vm.start()
  const accepted = (await asked).filter(({ status }) => status === 202).length
  await quiet()
  // What was reserved for an operation that never came to be is given back by itself.
  const found = await until(
    async () => {
      const [ids, { used, members }] = [await vmIds(), await poolOf('shaken')]
      return members.length === ids.length && { ids, used, members }
    },
    { what: 'reservations of nobody to end', intervalMs: 500 },
  )
  const { ids, used, members } = found
  expect(ids.length).toBeLessThanOrEqual(12)
  expect(ids.length).toBeGreaterThanOrEqual(Math.min(accepted, 1))
  expect(members.map(({ id }) => id).toSorted()).toEqual(ids.toSorted())
  expect(used).toEqual({ cpus: ids.length, memory: ids.length * 128, disk: 0, instances: ids.length })
  await deleteAll()
  expect(await poolOf('shaken')).toMatchObject({ used: nothing, members: [] })
})

test('a VM counts in its resource pool when it enters and when it changes, and no more when it has left', async () => {
  await makePool('wide', { memory: 512, cpus: 4 })
  await done('POST /api/vms', { json: newVm('moved', { memory: 384, disks: [{ pool: 'images', size: GiB }] }) })
  expect((await call('PUT /api/resource-pools/wide/members/vm/moved')).status).toBe(200)
  const counted = { cpus: 1, memory: 384, disk: GiB, instances: 1 }
  expect(await usedOf('wide')).toEqual(counted)
  const tooMuch = await call('PATCH /api/vms/moved', { json: { memory: 1024, cpus: 3 } })
  expect(tooMuch.status).toBe(409)
  expect(tooMuch.body['message']).toContain('640 MiB memory wanted, 384 of 512 used')
  expect(await usedOf('wide')).toEqual(counted)
  expect((await call('PATCH /api/vms/moved', { json: { memory: 512, cpus: 3 } })).status).toBe(200)
  expect(await usedOf('wide')).toEqual({ ...counted, memory: 512, cpus: 3 })
  expect((await call('PATCH /api/vms/moved', { json: { memory: 128, cpus: 2 } })).status).toBe(200)
  expect(await usedOf('wide')).toEqual({ ...counted, memory: 128, cpus: 2 })
  await makePool('narrow', { memory: 64 })
  expect((await call('PUT /api/resource-pools/narrow/members/vm/moved')).status).toBe(409)
  expect((await call('DELETE /api/resource-pools/wide/members/vm/moved')).status).toBe(204)
  expect(await usedOf('wide')).toEqual(nothing)
  await deleteAll()
})

test('a missing resource, and one of an unknown kind, cannot become a member', async () => {
  await makePool('strict')
  const put = (member: string) => call(`PUT /api/resource-pools/strict/members/${member}`)
  expect((await put('vm/nothing')).status).toBe(404)
  expect((await put('storage/nothing')).status).toBe(404)
  expect((await put('storage/images')).status).toBe(200)
  expect(await put('kettle/any')).toMatchObject({ status: 422, body: { violations: [{ field: 'kind' }] } })
  const inNone = await call('POST /api/vms', { json: newVm('lost', { resource_pool: 'nowhere' }) })
  expect(inNone).toMatchObject({ status: 422, body: { violations: [{ field: 'resource_pool', code: 'not_found' }] } })
  expect((await poolOf('strict')).members.map(({ id }) => id)).toEqual(['images'])
})

test('a user with a role on a resource pool makes and runs VMs in it, and nothing outside', async () => {
  await makePool('team')
  await call('PUT /api/resource-pools/team/members/storage/images')
  await call('POST /api/users', { json: { username: 'teammate', password } })
  const grant = (path: string) =>
    call('POST /api/permissions', { json: { subject: { kind: 'user', id: 'teammate' }, role: 'VmAdmin', path } })
  await grant('/api/resource-pools/team')
  const { body } = await call('POST /api/auth/login', { json: { username: 'teammate', password } })
  const token = String(body['token'])
  const disks = (pool: string) => [{ pool, size: GiB }]

  const outside = await call('POST /api/vms', { token, json: newVm('theirs') })
  expect(outside).toMatchObject({
    status: 403,
    body: { details: { privilege: 'VmAllocate', path: '/api/vms/theirs' } },
  })
  const elsewhere = await call('POST /api/vms', { token, json: newVm('theirs', { resource_pool: 'wide' }) })
  expect(elsewhere.body['details']).toMatchObject({ privilege: 'VmAllocate', path: '/api/resource-pools/wide' })
  const stolen = newVm('theirs', { resource_pool: 'team', disks: disks('secret') })
  expect(await call('POST /api/vms', { token, json: stolen })).toMatchObject({
    status: 403,
    body: { details: { path: '/api/storage/pools/secret' } },
  })
  await done('POST /api/vms', { token, json: newVm('theirs', { resource_pool: 'team', disks: disks('images') }) })
  await done('POST /api/vms', { json: newVm('foreign') })
  const seen = async () => (await call('GET /api/vms', { token })).body['data'] as { id: string }[]
  expect((await seen()).map(({ id }) => id)).toEqual(['theirs'])
  await done('POST /api/vms/theirs/start', { token })
  await done('POST /api/vms/theirs/stop', { token, json: { force: true } })
  expect((await call('GET /api/vms/foreign', { token })).status).toBe(403)

  // Who may take guests over brings none into a resource pool of others.
  await call('POST /api/users', { json: { username: 'adopter', password } })
  await call('POST /api/permissions', {
    json: { subject: { kind: 'user', id: 'adopter' }, role: 'VmAdmin', path: '/api/vms/*' },
  })
  const signedIn = await call('POST /api/auth/login', { json: { username: 'adopter', password } })
  const adopter = String(signedIn.body['token'])
  const adopted = { node: 'hv1', domain: 'any', id: 'any', resource_pool: 'team' }
  expect(await call('POST /api/vms/adopt', { token: adopter, json: adopted })).toMatchObject({
    status: 403,
    body: { details: { privilege: 'VmAllocate', path: '/api/resource-pools/team' } },
  })

  // Once by membership, once by a grant of its own: neither outlives the virtual machine.
  await grant('/api/vms/theirs/**')
  await done('DELETE /api/vms/theirs?purge=true', { token })
  await done('POST /api/vms', { json: newVm('theirs') })
  expect((await call('GET /api/vms/theirs', { token })).status).toBe(403)
  expect(await seen()).toEqual([])
  await deleteAll()
})

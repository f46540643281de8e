import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { vmRecords } from '../../../services/vm/model.ts'
import { sweepSoon } from '#shared/db/outbox.ts'
import { changeEvent, filled } from '#shared/db/resource-changes.ts'
import { insert } from '#shared/db/commands.ts'
import { removals } from '#shared/db/removals.ts'
import { ask } from '../../lab/clients/http.ts'
import { openSocket, type TestSocket } from '../../lab/clients/sockets.ts'
import { labHosts } from '../../lab/hosts/lab.ts'
import { type Product, startProduct } from '../../lab/product/product.ts'
import { until } from '../../lab/wait.ts'

const [host] = labHosts
const password = 'Kirschkuchen-12'
let product: Product

const asRoot = async (line: string, json?: unknown) => {
  const answer = await product.ask(line, { headers: { prefer: 'wait=50' }, ...(json !== undefined && { json }) })
  expect(answer.status, answer.text).toBeLessThan(300)
  return answer.body
}
const fresh = (name: string) => `${name}-${randomBytes(3).toString('hex')}`

/** The events of a user with a role on a path. */
async function subscribe(role: string, path: string): Promise<TestSocket> {
  const username = fresh('user')
  await asRoot('POST /api/users', { username, password })
  await asRoot('POST /api/permissions', { subject: { kind: 'user', id: username }, role, path })
  const { body } = await ask(product.url, 'POST /api/auth/login', { json: { username, password } })
  const socket = await openSocket(product.url, {
    headers: { authorization: `Bearer ${String(body['token'])}` },
    first: { topics: ['changes'] },
  })
  await socket.next('Subscribed')
  return socket
}
const changesOf = (socket: TestSocket, path: string) =>
  socket
    .events()
    .filter(({ data }) => data['path'] === path)
    .map(({ data }) => [data['change'], data['version']])
const told = (socket: TestSocket, path: string, change: string) =>
  until(() => changesOf(socket, path).some(([one]) => one === change), { what: `${change} of ${path}` })

beforeAll(async () => {
  product = await startProduct([host!])
})
afterAll(() => product?.stop())

test('each change of a resource is told to whoever may see it, with its version, also its end', async () => {
  const [pool, vm, other] = [fresh('team'), fresh('vm'), fresh('vm')]
  await asRoot('POST /api/resource-pools', { id: pool, name: pool })
  const member = await subscribe('VmUser', `/api/resource-pools/${pool}`)
  const auditor = await subscribe('Auditor', '/**')
  const newVm = (id: string, more: object = {}) => ({ id, name: id, memory: 128, cpus: 1, node: 'hv1', ...more })
  await asRoot('POST /api/vms', newVm(vm, { resource_pool: pool }))
  await asRoot('POST /api/vms', newVm(other))
  const [path, otherPath] = [`/api/vms/${vm}`, `/api/vms/${other}`]
  await told(auditor, path, 'created')
  const before = changesOf(auditor, path).length
  const { version } = await asRoot(`PATCH ${path}`, { memory: 256 })
  for (const socket of [member, auditor])
    await until(() => changesOf(socket, path).some(([, seen]) => Number(seen) >= Number(version)), {
      what: 'the change',
    })
  expect(changesOf(auditor, path).slice(before)).toContainEqual(['updated', version])

  await asRoot(`DELETE ${path}`)
  await asRoot(`DELETE ${otherPath}`)
  for (const socket of [member, auditor]) await told(socket, path, 'deleted')
  await told(auditor, otherPath, 'deleted')
  expect(changesOf(member, otherPath)).toEqual([])
  expect(member.events().filter(({ data }) => String(data['path']).startsWith('/api/users'))).toEqual([])
  expect(changesOf(auditor, path).filter(([change]) => change === 'deleted')).toHaveLength(1)
})

test('storage pools, roles and grants tell of their changes too', async () => {
  const [id, role] = [fresh('images'), fresh('Watcher')]
  const auditor = await subscribe('Administrator', '/**')
  const pool = `/api/storage/pools/${id}`
  await asRoot('POST /api/storage/pools', { id, type: 'dir', node: 'hv1', path: `/var/lib/libvirt/images/${id}` })
  await asRoot(`POST ${pool}/volumes`, { name: 'one', size: 2 ** 30 })
  await asRoot('POST /api/roles', { name: role, privileges: ['VmAudit'] })
  await asRoot(`PUT /api/roles/${role}`, { privileges: ['VmAudit', 'VmConsole'] })
  await asRoot(`DELETE /api/roles/${role}`)
  await asRoot(`DELETE ${pool}/volumes/one`)
  await told(auditor, pool, 'created')
  for (const change of ['created', 'deleted']) await told(auditor, `${pool}/volumes/one`, change)
  for (const change of ['created', 'updated', 'deleted']) await told(auditor, `/api/roles/${role}`, change)
})

test('the end of a record whose remover was killed is told by the sweep; one that is still there is not', async () => {
  const auditor = await subscribe('Auditor', '/**')
  const [gone, there] = [fresh('vm'), fresh('vm')]
  await asRoot('POST /api/vms', { id: there, name: there, memory: 128, cpus: 1, node: 'hv1' })
  for (const record of [gone, there]) {
    const event = filled(changeEvent('deleted'), vmRecords.model, { _id: record, version: 4 })
    const at = new Date(Date.now() - 3_600_000).toISOString()
    await insert(removals, { _id: event.id, of: 'vms', record, event, at, version: 1 })
  }
  sweepSoon(vmRecords.model)
  await told(auditor, `/api/vms/${gone}`, 'deleted')
  await until(async () => (await removals.countDocuments({})) === 0, { what: 'an end of the sweep' })
  expect(changesOf(auditor, `/api/vms/${there}`).map(([change]) => change)).not.toContain('deleted')
})

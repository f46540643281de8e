import { afterAll, beforeAll, expect, test } from 'vitest'
import type { CloneJob } from '#shared/contracts/vm/clone-jobs.ts'
import { imagesOf } from '../../../lab/guests/disks.ts'
import { ask } from '../../../lab/clients/http.ts'
import { type Product, startProduct } from '../../../lab/product/product.ts'
import { until } from '../../../lab/wait.ts'
import { labHosts } from '../../../lab/hosts/lab.ts'

const [lab] = labHosts
const password = 'Kirschkuchen-12'
const wait = { headers: { prefer: 'wait=50' } }
let product: Product

beforeAll(async () => {
  product = await startProduct([lab!])
  const pool = { id: 'images', type: 'dir', node: 'hv1', path: '/var/lib/libvirt/images/pool' }
  expect((await product.ask('POST /api/storage/pools', { json: pool })).status).toBe(201)
  const disks = [{ pool: 'images', size: 2 ** 30, format: 'raw' }]
  const source = { id: 'web', name: 'web', memory: 128, cpus: 1, node: 'hv1', disks }
  expect((await product.ask('POST /api/vms', { ...wait, json: source })).status).toBe(200)
  await imagesOf(lab!).write('web-disk-0.raw', 0xa1, 0, 1000)
})
afterAll(() => product?.stop())

/** Somebody with these rights: role and path. */
async function person(username: string, ...grants: [string, string][]) {
  expect((await product.ask('POST /api/users', { json: { username, password } })).status).toBe(201)
  for (const [role, path] of grants) {
    const grant = { subject: { kind: 'user', id: username }, role, path }
    expect((await product.ask('POST /api/permissions', { json: grant })).status).toBe(201)
  }
  const login = await ask(product.url, 'POST /api/auth/login', { json: { username, password } })
  const token = String(login.body['token'])
  return (line: string, json?: unknown) => ask(product.url, line, { token, ...(json !== undefined && { json }) })
}

test('a job is shown to users who may see its source or its clone; cancelling or deleting it needs a right', async () => {
  const cloner = await person('cloner', ['VmAdmin', '/api/vms/*'], ['VmAdmin', '/api/storage/pools/images'])
  const watcher = await person('watcher', ['Auditor', '/api/vms/copy'])
  const stranger = await person('stranger', ['VmAdmin', '/api/vms/other'])

  const denied = await stranger('POST /api/vms/web/clone', { id: 'other', name: 'other', mode: 'full' })
  expect([denied.status, denied.body['message']]).toEqual([403, expect.stringMatching(/VmConfig on \/api\/vms\/web/)])

  const atFullSpeed = await imagesOf(lab!).slowDown('copy-disk-0')
  const begun = await cloner('POST /api/vms/web/clone', { id: 'copy', name: 'copy', mode: 'full' })
  expect(begun.status).toBe(202)
  const path = `/api/clone-jobs/${String(begun.body['id'])}`
  const copying = await until(
    async () => {
      const { body } = await watcher(`GET ${path}`)
      return Number(body['bytes_copied']) > 0 && (body as unknown as CloneJob)
    },
    { what: 'bytes that are copied' },
  )
  expect(copying).toMatchObject({
    source_vm_id: 'web',
    target_vm_id: 'copy',
    stage: 'cloning_disk',
    total_bytes: 1000 * 2 ** 20,
    user: 'cloner',
  })
  expect(copying.elapsed_seconds).toBeGreaterThan(0)
  expect(copying.remaining_seconds).toBeGreaterThan(0)
  expect(copying.progress_percent).toBeCloseTo((100 * copying.bytes_copied) / copying.total_bytes, 0)

  expect((await stranger(`GET ${path}`)).status).toBe(404)
  expect((await stranger('GET /api/clone-jobs')).body).toMatchObject({ data: [], total: 0 })
  expect((await watcher('GET /api/clone-jobs')).body).toMatchObject({ data: [{ id: begun.body['id'] }], total: 1 })
  expect((await stranger(`POST ${path}/cancel`)).status).toBe(404)
  expect((await watcher(`POST ${path}/cancel`)).status).toBe(403)
  expect((await cloner(`DELETE ${path}`)).status).toBe(409)
  expect((await cloner(`POST ${path}/cancel`)).status).toBe(200)
  await until(async () => (await watcher(`GET ${path}`)).body['status'] === 'cancelled')
  await atFullSpeed()
  expect((await product.ask('GET /api/vms/copy')).status).toBe(404)
  expect((await cloner(`POST ${path}/cancel`)).status).toBe(409)
  expect((await watcher(`DELETE ${path}`)).status).toBe(403)
  expect((await cloner(`DELETE ${path}`)).status).toBe(204)
  expect((await cloner(`GET ${path}`)).status).toBe(404)
})

test('a user who may see a template may deploy it where they may create VMs', async () => {
  expect((await product.ask('POST /api/templates', { ...wait, json: { vm_id: 'web' } })).status).toBe(200)
  const deployer = await person(
    'deployer',
    ['Auditor', '/api/vms/web'],
    ['VmAdmin', '/api/vms/mine'],
    ['StorageAdmin', '/api/storage/pools/images'],
  )
  const listed = (await deployer('GET /api/templates')).body['data']
  expect(listed).toMatchObject([{ id: 'web', template: true }])
  const refused = await deployer('POST /api/templates/web/deploy', { id: 'theirs', name: 'theirs' })
  expect(refused.status).toBe(403)
  const begun = await deployer('POST /api/templates/web/deploy', { id: 'mine', name: 'mine' })
  expect(begun.status).toBe(202)
  await until(
    async () => (await deployer(`GET /api/clone-jobs/${String(begun.body['id'])}`)).body['status'] === 'succeeded',
  )
  expect((await deployer('POST /api/vms/web/clone', { id: 'mine', name: 'm2', mode: 'full' })).status).toBe(403)
  expect((await deployer('GET /api/vms/mine')).status).toBe(200)
})

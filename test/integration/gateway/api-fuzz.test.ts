import { afterAll, beforeAll, expect, test } from 'vitest'
import fc from 'fast-check'
import { type Document, type Route, routesOf, type Sent } from '../../lab/fuzz/api.ts'
import { type Product, startProduct } from '../../lab/product/product.ts'
import { amount, seedOf } from '../../lab/faults/seed.ts'
import { labHosts } from '../../lab/hosts/lab.ts'

const [host] = labHosts
const seed = Number(seedOf('api-fuzz'))
const each = amount({ sample: 6, all: 300 })
const GiB = 2 ** 30
let product: Product
let routes: Route[]

/** They would end the proof that this asks with, are no JSON, or reach out to wherever an address says. */
const left = new Set([
  'auth.logout',
  'auth.setup',
  'auth.rotateKeys',
  'nodes.register',
  'nodes.update',
  'events.stream',
  'events.socket',
  'consoles.cast',
  'consoles.viewerFile',
  'volume-downloads.download',
  'backup-files.download',
])

const newVm = (id: string) => ({
  id,
  name: id,
  memory: 128,
  cpus: 1,
  node: 'hv1',
  disks: [{ pool: 'images', size: GiB }],
})
/** What there is of everything, made anew when it was deleted. */
const things: [string, object][] = [
  ['/users', { username: 'someone', password: 'Kirschkuchen-12' }],
  ['/roles', { name: 'Watcher', privileges: ['VmAudit'] }],
  ['/groups', { id: 'crew', name: 'crew' }],
  ['/groups/crew/members/someone', {}],
  ['/permissions', { id: 'right', subject: { kind: 'user', id: 'someone' }, role: 'Watcher', path: '/api/vms/*' }],
  ['/resource-pools', { id: 'team', name: 'team' }],
  ['/storage/pools', { id: 'images', type: 'dir', node: 'hv1', path: '/var/lib/libvirt/images/pool' }],
  ['/storage/pools/images/activate', {}],
  ['/storage/pools/images/volumes', { name: 'spare', size: GiB, format: 'qcow2' }],
  ['/vms', newVm('fuzzed')],
  ['/vms', newVm('fuzzed-template')],
  ['/templates', { vm_id: 'fuzzed-template' }],
  ['/clone-presets', { id: 'preset', name: 'preset' }],
]
const vm = ['fuzzed', 'fuzzed-template']
const roles = ['Watcher', 'VmUser']
/** What these are called where they are named: after a word of a path, or in a property. */
const known: Record<string, string[]> = {
  vms: vm,
  vm_id: vm,
  console: vm,
  templates: ['fuzzed-template'],
  'clone-presets': ['preset'],
  preset: ['preset'],
  pools: ['images'],
  pool: ['images'],
  volumes: ['spare', 'fuzzed-disk-0'],
  volume: ['spare'],
  disks: ['vda'],
  users: ['someone'],
  username: ['someone'],
  roles,
  role: roles,
  groups: ['crew'],
  permissions: ['right'],
  'resource-pools': ['team'],
  resource_pool: ['team'],
  members: ['someone', ...vm],
  nodes: ['hv1'],
  node: ['hv1'],
}

const waiting = { prefer: 'wait=60' }
async function makeThings(): Promise<Record<string, number>> {
  const refused: Record<string, number> = {}
  for (const [path, json] of things) {
    const isMember = path.includes('/members/')
    const { status } = await product.ask(`${isMember ? 'PUT' : 'POST'} /api${path}`, { json, headers: waiting })
    // What is still there is a conflict.
    if (status >= 400 && status !== 409) refused[path] = status
  }
  return refused
}
const idsOf = async (path: string) =>
  ((await product.ask(`GET /api${path}?limit=3`)).body['data'] as { id: string }[]).map(({ id }) => id)

beforeAll(async () => {
  product = await startProduct([host!])
  expect(await makeThings()).toEqual({})
  const clone = { name: 'fuzzed-clone', mode: 'full' }
  await product.ask('POST /api/vms/fuzzed/clone', { json: clone, headers: waiting })
  const { body } = await product.ask('GET /api/openapi.json')
  Object.assign(known, { operations: await idsOf('/operations'), 'clone-jobs': await idsOf('/clone-jobs') })
  // It is the document that the gateway gives.
  routes = routesOf(body as unknown as Document, known).filter(({ name }) => !left.has(name))
})
afterAll(() => product?.stop())

const statuses: Record<number, number> = {}
/** A request since the things were made last may have deleted some. */
let mayHaveChanged = true

async function faultsOf(route: Route, { line, json }: Sent): Promise<string[]> {
  const answer = await product.ask(line, json === undefined ? {} : { json })
  if (!line.startsWith('GET ')) mayHaveChanged = true
  statuses[answer.status] = (statuses[answer.status] ?? 0) + 1
  // Of items with some of their fields the description says nothing.
  const faults = /[?&]fields=/.test(line) && answer.status === 200 ? [] : route.faultsOf(answer)
  const asked = `${line} ${JSON.stringify(json)?.slice(0, 1000) ?? ''}`
  return faults.map((fault) => `${route.name}: ${asked}\n  ${fault.slice(0, 1000)}`)
}

test('every answer to random requests is one that the OpenAPI document describes, and never 500', async () => {
  const faults: string[] = []
  for (const [index, route] of routes.entries()) {
    if (mayHaveChanged) await makeThings()
    mayHaveChanged = false
    for (const sent of fc.sample(route.requests, { seed: seed + index, numRuns: each }))
      faults.push(...(await faultsOf(route, sent)))
  }
  process.stdout.write(`${routes.length} routes, ${each} requests each: ${JSON.stringify(statuses)}\n`)
  expect(faults).toEqual([])
}, 3_600_000)

import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { drains, type DrainPlan } from '#shared/contracts/cluster/drains.ts'
import { nodes } from '#shared/contracts/cluster/nodes.ts'
import { placementRules } from '#shared/contracts/cluster/placement.ts'
import { operations } from '#shared/contracts/core/operations.ts'
import { pools } from '#shared/contracts/storage/pools.ts'
import { vms, type Vm } from '#shared/contracts/vm/vms.ts'
import { authService } from '../../../services/auth/service.ts'
import { clusterService } from '../../../services/cluster/service.ts'
import { metricsService } from '../../../services/metrics/service.ts'
import { storageService } from '../../../services/storage/service.ts'
import { vmService } from '../../../services/vm/service.ts'
import { asNode } from '../../lab/faults/scenarios.ts'
import { haveBridge } from '../../lab/hosts/bridges.ts'
import type { LabHost } from '../../lab/hosts/hosts.ts'
import { labHosts } from '../../lab/hosts/lab.ts'
import { startHorcrux, type TestHorcrux } from '../../lab/product/horcrux.ts'
import { done, work } from '../../lab/product/run-operation.ts'

const [first, second] = labHosts as [LabHost, LabHost]
let horcrux: TestHorcrux
let number = 0
const fresh = (what: string) => `${what}-${(number += 1)}-${randomBytes(3).toString('hex')}`

beforeAll(async () => {
  const services = [authService, clusterService, storageService, vmService, metricsService]
  horcrux = await startHorcrux({ services })
  // Guests of this machine are none of the test's business.
  await horcrux.call(nodes, 'update', { id: 'local', maintenance: true })
  await done(horcrux, nodes, 'register', asNode('hv1', first))
  await done(horcrux, nodes, 'register', asNode('hv2', second))
})
afterAll(() => horcrux.stop())

const create = (id: string, given: object = {}) =>
  work(horcrux, vms, 'create', { id, name: id, memory: 128, cpus: 1, ...given })
const logOf = async (id: string) =>
  (await horcrux.call(operations, 'log', { id })).data.map(({ message }) => message).join('\n')

test('a VM without a node is placed where it can run, and its operation tells why there and why nowhere else', async () => {
  const pool = fresh('pool')
  await horcrux.call(pools, 'create', { id: pool, type: 'dir', node: 'hv2', path: `/var/lib/libvirt/images/${pool}` })
  const id = fresh('vm')
  const made = await create(id, { disks: [{ pool, size: 2 ** 30 }] })
  expect(made).toMatchObject({ state: 'succeeded', result: { node: 'hv2' } })
  expect(made.steps[0]).toMatchObject({ name: 'placing on hv2', state: 'done' })
  const told = await logOf(made.id)
  expect(told).toMatch(/placed on node 'hv2': with all guests running, \d+ of \d+ MiB and \d+ of \d+ vCPUs stay free/)
  expect(told).toContain(`not on node 'hv1': it does not reach storage pool '${pool}'`)
  expect(told).toMatch(/not on node 'local': .*it is in maintenance/)
  await done(horcrux, vms, 'delete', { id, purge: true })
  await horcrux.call(pools, 'delete', { id: pool })
})

test('the hypervisor of each node is asked too: a bridge that only one of them has decides', async () => {
  const bridge = `br${randomBytes(3).toString('hex')}`
  await haveBridge(second, bridge)
  const id = fresh('vm')
  const made = await create(id, { nics: [{ bridge }] })
  expect((made.result as Vm).node).toBe('hv2')
  await done(horcrux, vms, 'delete', { id })
})

test('VMs that a rule keeps apart or together are placed so', async () => {
  const [a, b, c, rule] = [fresh('a'), fresh('b'), fresh('c'), fresh('rule')]
  await horcrux.call(placementRules, 'create', { id: rule, name: rule, kind: 'apart', vms: [a, b, c] })
  const placed = [await create(a), await create(b)].map(({ result }) => (result as Vm).node)
  expect(placed.toSorted()).toEqual(['hv1', 'hv2'])
  await expect(create(c)).rejects.toMatchObject({
    status: 422,
    violations: [{ field: 'node', code: 'no_node', message: expect.stringContaining(`rule '${rule}' keeps it apart`) }],
  })
  await horcrux.call(placementRules, 'update', { id: rule, kind: 'together', vms: [a, c] })
  expect((await create(c)).result).toMatchObject({ node: placed[0] })
  for (const id of [a, b, c]) await done(horcrux, vms, 'delete', { id })
  await horcrux.call(placementRules, 'delete', { id: rule })
})

test('a drain is planned over the inventory, and what keeps it from being done is told with the way out', async () => {
  const pool = fresh('pool')
  await horcrux.call(pools, 'create', { id: pool, type: 'dir', node: 'hv1', path: `/var/lib/libvirt/images/${pool}` })
  const [free, bound, off] = [fresh('free'), fresh('bound'), fresh('off')]
  await create(free, { node: 'hv1', start: true })
  await create(off, { node: 'hv1' })
  const wish = { id: 'hv1', plan: true, bandwidth_limit: 100 }
  // With `plan` the answer is the plan.
  const plan = async () => (await horcrux.call(drains, 'drain', wish)) as unknown as DrainPlan
  const before = await plan()
  expect(before).toMatchObject({
    status: 'possible',
    moves: [{ vm_id: free, from: 'hv1', to: 'hv2', memory_mib: 128, is_running: true, at_least_seconds: 1.28 }],
    stays: [{ vm_id: off, reason: 'it is off' }],
    peaks: [{ node: 'hv2', memory_mib: 128, vcpus: 1 }],
    conflicts: [],
  })
  await create(bound, { node: 'hv1', start: true, disks: [{ pool, size: 2 ** 30 }] })
  const { status, moves, conflicts } = await plan()
  expect({ status, moves }).toEqual({ status: 'impossible', moves: [] })
  expect(conflicts).toHaveLength(1)
  expect(conflicts[0]!.constraints).toEqual(
    expect.arrayContaining([
      { kind: 'move', subject: bound, text: expect.stringContaining('has to move') },
      { kind: 'storage', subject: bound, text: expect.stringContaining(`storage pool '${pool}'`) },
    ]),
  )
  // The remedy frees it.
  expect(conflicts[0]!.remedies).toContain(`Shut down virtual machine '${bound}'`)
  await done(horcrux, vms, 'stop', { id: bound, force: true })
  expect(await plan()).toMatchObject({ status: 'possible', moves: [{ vm_id: free }], plan_id: before.plan_id })
  await done(horcrux, vms, 'stop', { id: free, force: true })
  for (const id of [free, bound, off]) await done(horcrux, vms, 'delete', { id, purge: true })
  await horcrux.call(pools, 'delete', { id: pool })
})

test('a mistake in the request is told by its field, beside the reasons of the nodes', async () => {
  await expect(
    create(fresh('vm'), { disks: [{ pool: 'none', size: 2 ** 30 }], memory: 1_048_576 }),
  ).rejects.toMatchObject({
    status: 422,
    violations: expect.arrayContaining([
      expect.objectContaining({ field: 'disks.0.pool', code: 'not_found' }),
      expect.objectContaining({
        field: 'node',
        code: 'no_node',
        message: expect.stringMatching(/MiB of memory are missing/),
      }),
    ]),
  })
})

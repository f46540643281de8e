import { expect, test } from 'vitest'
import type { Pool } from '#shared/contracts/storage/pools.ts'
import type { Vm } from '#shared/contracts/vm/vms.ts'
import { placeDisks } from '../../../services/migration/plan/disks.ts'

const capabilities = { formats: ['qcow2', 'raw'], default_format: 'qcow2' }
// Only these fields are read.
const pool = (id: string, nodes: string[] | null, more = {}) =>
  ({ id, type: 'dir', nodes, state: 'active', capabilities, ...more }) as unknown as Pool
const disk = (id: string, of: string, more = {}) => ({
  id,
  pool: of,
  volume: `${id}-1`,
  format: 'qcow2',
  cache: 'default',
  ...more,
})
const vm = (...disks: object[]) => ({ disks }) as unknown as Vm

const here = pool('here', ['a'])
const there = pool('there', ['b'])
const shared = pool('shared', null)

test('a disk that both nodes reach stays where it is', () => {
  const { disks, violations } = placeDisks(vm(disk('vda', 'shared')), [shared, there], 'b', undefined)
  expect(violations).toEqual([])
  expect(disks).toMatchObject([{ pool: 'shared', volume: 'vda-1', is_copied: false }])
})

test('a disk of one node goes to the only storage pool of the target, in a format that it has', () => {
  const raw = pool('there', ['b'], { capabilities: { formats: ['raw'], default_format: 'raw' } })
  const { disks } = placeDisks(vm(disk('vda', 'here')), [here, raw], 'b', undefined)
  expect(disks).toMatchObject([{ source_pool: 'here', pool: 'there', format: 'raw', is_copied: true }])
})

test('a choice of storage pools, an inactive one and a missing one are violations', () => {
  const of = (pools: Pool[], wanted?: string) =>
    placeDisks(vm(disk('vda', 'here')), [here, ...pools], 'b', wanted).violations.map(({ message }) => message)
  expect(of([there, pool('second', ['b'])])).toEqual([
    "disk vda in 'here': node 'b' has several storage pools for it (there, second): name one in target_pool",
  ])
  expect(of([])).toEqual(["disk vda in 'here': node 'b' has no storage pool for it"])
  expect(of([pool('there', ['b'], { state: 'inactive' })], 'there')).toEqual([
    "disk vda in 'here': node 'b' does not reach storage pool 'there', or it is not active",
  ])
  expect(of([there], 'none')).toEqual(["disk vda in 'here': there is no storage pool 'none'"])
})

test('a shared disk with a cache that the other node does not see is a violation', () => {
  const found = placeDisks(vm(disk('vda', 'shared', { cache: 'writeback' })), [shared], 'b', undefined)
  expect(found.violations.map(({ code }) => code)).toEqual(['cache'])
})

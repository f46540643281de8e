import { expect, test } from 'vitest'
import type { Pool } from '#shared/contracts/storage/pools.ts'
import { placeAcross } from '../../../services/vm/clone/across/place.ts'

const pool = (id: string, nodes: string[] | null, more: object = {}) =>
  ({
    id,
    type: 'dir',
    state: 'active',
    nodes,
    capabilities: { formats: ['qcow2', 'raw'], default_format: 'qcow2' },
    ...more,
  }) as unknown as Pool

const disk = (id: string, poolId: string) =>
  ({ id, pool: poolId, volume: `it-${id}`, format: 'qcow2', size_bytes: 1, reads: ['/a'] }) as never

const raw = { type: 'lvm', capabilities: { formats: ['raw'], default_format: 'raw' } }
const here = pool('here', ['hv1'])
const there = pool('there', ['hv2'])
const block = pool('block', ['hv2'], raw)
const shared = pool('shared', ['hv1', 'hv2'])
const everywhere = pool('everywhere', null)

const place = (from: string, pools: Pool[], wanted?: string) =>
  placeAcross([disk('vda', from)], pools, { id: 'copy', node: 'hv2', pool: wanted })
const placed = (...given: Parameters<typeof place>) => {
  const { disks, violations } = place(...given)
  return violations.length > 0
    ? violations[0]!.message
    : disks.map(({ target, isSent }) => `${target.pool}/${target.volume} ${target.format}${isSent ? ' sent' : ''}`)[0]
}

test('a disk that only the source node reaches is sent to the pool of the same kind there', () => {
  expect(placed('here', [here, there, block])).toBe('there/copy-disk-0 qcow2 sent')
  expect(place('here', [here, there]).disks[0]!.target).not.toHaveProperty('reads')
})

test('a disk that the target node reaches stays in its pool unless another is wanted', () => {
  for (const reached of [shared, everywhere])
    expect(placed(reached.id, [reached, there])).toBe(`${reached.id}/copy-disk-0 qcow2`)
  expect(placed('shared', [shared, block], 'block')).toBe('block/copy-disk-0 raw')
  expect(placed('here', [here, block])).toBe('block/copy-disk-0 raw sent')
})

test('a pool that cannot be chosen is refused with the reason', () => {
  expect(placed('here', [here])).toContain("node 'hv2' has no storage pool for it")
  expect(placed('here', [here, there, pool('more', ['hv2'])])).toContain('several storage pools for it (there, more)')
  expect(placed('here', [here, there], 'nowhere')).toContain("there is no storage pool 'nowhere'")
  expect(placed('here', [here, there], 'here')).toContain("does not reach storage pool 'here'")
  expect(placed('here', [here, pool('there', ['hv2'], { state: 'inactive' })], 'there')).toContain(
    'or it is not active',
  )
  expect(placed('gone', [there])).toContain("Storage pool 'gone' not found")
})

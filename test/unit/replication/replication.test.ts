import fc from 'fast-check'
import { expect, test } from 'vitest'
import { failureOf } from '../../../services/storage/replication/jobs/run.ts'
import { stateOf } from '../../../services/storage/replication/jobs/status.ts'
import { surplusOf } from '../../../services/storage/replication/transfer/end.ts'
import { differingRanges } from '../../../services/storage/replication/transfer/sync-disk.ts'
import { pairsOf } from '../../../services/storage/replication/use/failback.ts'
import { keepingOnly } from '../../../services/storage/replication/use/copy-point.ts'
import { macsOf, whySourceMayRun } from '../../../services/storage/replication/use/failover.ts'

const KiB = 1024
const macs = ['52:54:00:00:00:01', '52:54:00:00:00:02']

test('exactly the blocks that are different are written, and the copy is equal then', () => {
  const flips = fc.array(fc.integer({ min: 0, max: 300 * KiB - 1 }), { maxLength: 20 })
  fc.assert(
    fc.property(flips, fc.integer({ min: 1, max: 300 * KiB }), (places, length) => {
      const wanted = Buffer.alloc(length, 1)
      const present = Buffer.from(wanted)
      for (const place of places) if (place < length) present[place] = 2
      const ranges = differingRanges(wanted, present)
      for (const { from, to } of ranges) wanted.copy(present, from, from, to)
      const blocks = new Set(places.filter((place) => place < length).map((place) => Math.floor(place / (64 * KiB))))
      const written = ranges.reduce((sum, { from, to }) => sum + Math.ceil((to - from) / (64 * KiB)), 0)
      return present.equals(wanted) && written === blocks.size
    }),
  )
})

test('a failover is refused while the source may run', () => {
  const why = (status: 'running' | 'paused' | 'stopped' | 'unknown', isLost: boolean) =>
    whySourceMayRun({ id: 'web', status }, isLost)
  expect(whySourceMayRun(null, false)).toBeNull()
  expect(why('stopped', false)).toBeNull()
  // Its node answers: no caller knows better.
  for (const status of ['running', 'paused'] as const) expect(why(status, true)).toContain(`is ${status}`)
  expect(why('unknown', false)).toContain('source_is_lost')
  expect(why('unknown', true)).toBeNull()
})

test('a failover keeps the MAC addresses of a source that is off or gone, and none of one that is lost', () => {
  const nics = [
    { mac: '52:54:00:00:00:01', model: 'virtio', device_id: 'n', network: 'default', bridge: null },
  ] as never
  const source = (status: 'stopped' | 'unknown') => ({ id: 'web', status, nics })
  expect(macsOf(source('stopped'), macs, null)).toEqual(['52:54:00:00:00:01'])
  expect(macsOf(source('stopped'), macs, true)).toEqual(macs)
  expect(macsOf(source('stopped'), macs, false)).toEqual([])
  expect(macsOf(null, macs, null)).toEqual(macs)
  expect(macsOf(source('unknown'), macs, null)).toEqual([])
  expect(() => macsOf(source('unknown'), macs, true)).toThrow(/does not answer/)
})

test('a copy keeps the MAC addresses that it may, in its network cards and in its boot order', () => {
  const nics = macs.map((mac) => ({ mac, network: 'default', model: 'virtio' }))
  const request = { name: 'web', nics, boot_order: ['vda', ...macs] } as never
  expect(keepingOnly(request, [macs[0]!])).toEqual({
    name: 'web',
    nics: [nics[0], { network: 'default', model: 'virtio' }],
    boot_order: ['vda', macs[0]],
  })
  expect(keepingOnly(request, [])).toMatchObject({ boot_order: ['vda'] })
})

test('the retention keeps the newest point without a rule, and the point that a failover reads from', () => {
  const points = ['2026-01-01', '2026-01-02', '2026-01-03'].map((day, index) => {
    return { id: `p${index}`, taken_at: `${day}T00:00:00.000Z` }
  })
  const going = (retention: Parameters<typeof surplusOf>[1], failover: { point_id: string } | null = null) =>
    surplusOf({ points, failover } as never, retention, 'UTC').going
  expect(going(null)).toEqual(['p0', 'p1'])
  expect(going(null, { point_id: 'p0' })).toEqual(['p1'])
  expect(going({ last: 0, hourly: 0, daily: 2, weekly: 0, monthly: 0, yearly: 0 })).toEqual(['p0'])
})

test('the state of a job is the most active one of its replicas', () => {
  expect(stateOf([], null)).toBe('idle')
  expect(stateOf([], 'running')).toBe('preparing')
  expect(stateOf(['completed'], 'running')).toBe('preparing')
  expect(stateOf(['completed', 'transferring', 'failed'], 'running')).toBe('transferring')
  expect(stateOf(['completed', 'finalizing'], 'running')).toBe('finalizing')
  expect(stateOf(['completed', 'failed'], 'failed')).toBe('failed')
  // Its virtual machines could not be found.
  expect(stateOf(['completed'], 'failed')).toBe('failed')
  expect(stateOf(['completed', 'completed'], 'succeeded')).toBe('completed')
})

test('a run fails when a virtual machine failed, and not for one that was skipped', () => {
  const outcome = (state: 'succeeded' | 'failed' | 'skipped', vm_id = 'web') => {
    return { vm_id, vm_name: vm_id, state, replica_id: null, reason: state === 'failed' ? 'no room' : null }
  }
  expect(failureOf([outcome('succeeded'), outcome('skipped')])).toBeNull()
  expect(failureOf([outcome('failed'), outcome('failed', 'mail')])).toBe(
    'The replication of web failed, and of 1 others: no room',
  )
})

test('everything that keeps a failback from its disks is told at once', () => {
  const disk = (pool: string, volume: string, size_bytes = 10) => ({ pool, volume, size_bytes, readonly: false })
  const vm = (id: string, disks: object[], status = 'stopped') => ({ id, status, disks }) as never
  const place = (index: number) => ({ id: `vd${'ab'[index]}`, source_pool: 'here', source_volume: `web-disk-${index}` })
  const point = { disks: [place(0), place(1)] } as never
  const source = [disk('here', 'web-disk-0'), disk('here', 'web-disk-1')]
  const other = [disk('there', 'copy-disk-0'), disk('there', 'copy-disk-1')]
  const { pairs, obstacles } = pairsOf(vm('web', source), vm('copy', other), point)
  expect(obstacles).toEqual([])
  expect(pairs).toMatchObject([
    { id: 'vda', from: { volume: 'copy-disk-0' }, to: { volume: 'web-disk-0' } },
    { id: 'vdb', from: { volume: 'copy-disk-1' }, to: { volume: 'web-disk-1' } },
  ])
  const grown = [disk('there', 'copy-disk-0', 20), disk('there', 'more')]
  const found = pairsOf(vm('web', [...source, disk('here', 'new')]), vm('copy', grown, 'running'), point).obstacles
  expect(found).toEqual([
    "virtual machine 'copy' is running: stop it first",
    "disk vda has 10 bytes in 'web', and 20 in 'copy'",
    "'copy' has no disk copy-disk-1 now",
    "'web' has a disk that the other has not: detach it",
  ])
})

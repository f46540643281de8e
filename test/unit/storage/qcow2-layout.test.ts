import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  clusterBytes,
  layoutOf,
  metadataAt,
  type Qcow2Layout,
  runAtRank,
  runsOf,
} from '../../../services/storage/downloads/qcow2-layout.ts'

const GiB = 2 ** 30
const place = 0x00fffffffffffe00n
const at = (layout: Qcow2Layout, cluster: number, entry: number) =>
  Number((metadataAt(layout, cluster).readBigUInt64BE(entry * 8) & place) / BigInt(clusterBytes))

/** The cluster of the file that a reader finds for a cluster of the guest; 0 for a hole. */
function clusterOf(layout: Qcow2Layout, guest: number): number {
  const l1 = metadataAt(layout, 0).readBigUInt64BE(40)
  const index = Math.floor(guest / 8192)
  const table = at(layout, Number(l1) / clusterBytes + Math.floor(index / 8192), index % 8192)
  return table === 0 ? 0 : at(layout, table, guest % 8192)
}

test('ranges become runs of whole clusters, joined where they touch', () => {
  const ranges = [
    { from: 0, to: 1 },
    { from: clusterBytes - 1, to: clusterBytes },
    { from: 3 * clusterBytes + 5, to: 5 * clusterBytes },
    { from: 5 * clusterBytes, to: 5 * clusterBytes + 1 },
    { from: 9 * clusterBytes, to: 9 * clusterBytes },
  ]
  expect(runsOf(ranges)).toEqual([
    { from: 0, count: 1, rank: 0 },
    { from: 3, count: 3, rank: 1 },
  ])
})

test('a reader of the tables finds each cluster with data once, in order, and holes elsewhere', () => {
  const runs = fc
    .array(fc.tuple(fc.integer({ min: 1, max: 40_000 }), fc.integer({ min: 1, max: 9000 })), { maxLength: 6 })
    .map((gaps) => {
      let end = 0
      const ranges = gaps.map(([gap, count]) => {
        const from = (end + gap) * clusterBytes
        end += gap + count
        return { from, to: end * clusterBytes }
      })
      return { runs: runsOf(ranges), clusters: end + 1 }
    })
  fc.assert(
    fc.property(runs, ({ runs, clusters }) => {
      const layout = layoutOf(clusters * clusterBytes, runs)
      for (const { from, count, rank } of runs) {
        expect(clusterOf(layout, from)).toBe(layout.at.data + rank)
        expect(clusterOf(layout, from + count - 1)).toBe(layout.at.data + rank + count - 1)
        expect(clusterOf(layout, from - 1)).toBe(0)
        expect(clusterOf(layout, from + count)).toBe(0)
        expect(runAtRank(runs, rank)).toMatchObject({ from })
        expect(runAtRank(runs, rank + count - 1)).toMatchObject({ from })
      }
    }),
    { numRuns: 25 },
  )
})

test('the refcounts are one for every cluster of the file and none behind it, also of large disks', () => {
  for (const [size, data] of [
    [GiB, 0],
    [GiB, 16_384],
    [10_240 * GiB, 32_768 * 3],
  ] as const) {
    const layout = layoutOf(size, data === 0 ? [] : [{ from: 0, count: data, rank: 0 }])
    const { refcountBlocks, l1, end } = layout.at
    let counted = 0
    for (let block = refcountBlocks; block < l1; block++) {
      const counts = metadataAt(layout, block)
      for (let index = 0; index < clusterBytes; index += 2) counted += counts.readUInt16BE(index)
    }
    expect(counted).toBe(end)
    expect((l1 - refcountBlocks) * 32_768).toBeGreaterThanOrEqual(end)
    expect(metadataAt(layout, 0).readBigUInt64BE(24)).toBe(BigInt(size))
  }
})

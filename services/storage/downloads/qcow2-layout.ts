/**
 * The layout of a qcow2 file that is written in one pass, without a temporary file: since its size and tables follow from
 * the allocated ranges, each part of it can be computed before the data is read. Format: QEMU, docs/interop/qcow2.txt
 * (version 3, clusters of 64 KiB, refcounts of 16 bits).
 */
export const clusterBytes = 64 * 1024
const entryBytes = 8
const entriesPerTable = clusterBytes / entryBytes
const refcountBytes = 2
const refcountsPerBlock = clusterBytes / refcountBytes
const copied = 1n << 63n

/** Clusters of the guest that have data: `from` the first, `count` of them, `rank` how many have data before it. */
export type DataRun = { from: number; count: number; rank: number }

export type Qcow2Layout = {
  virtual_bytes: number
  runs: DataRun[]
  /** Numbers of the L2 tables that have entries, ascending. */
  tables: number[]
  l1Entries: number
  /** First clusters of the parts of the file, in their order. */
  at: { refcountTable: number; refcountBlocks: number; l1: number; l2: number; data: number; end: number }
}

/** Joins ranges with data, given in order, to runs of whole clusters. */
export function runsOf(ranges: Iterable<{ from: number; to: number }>): DataRun[] {
  const runs: DataRun[] = []
  for (const { from, to } of ranges) {
    if (to <= from) continue
    const last = runs.at(-1)
    const end = last ? last.from + last.count : 0
    const first = Math.max(end, Math.floor(from / clusterBytes))
    const count = Math.ceil(to / clusterBytes) - first
    if (count <= 0) continue
    if (last && first === end) last.count += count
    else runs.push({ from: first, count, rank: last ? last.rank + last.count : 0 })
  }
  return runs
}

function tablesOf(runs: readonly DataRun[]): number[] {
  const tables: number[] = []
  for (const { from, count } of runs) {
    const first = Math.floor(from / entriesPerTable)
    const last = Math.floor((from + count - 1) / entriesPerTable)
    for (let table = Math.max(first, (tables.at(-1) ?? -1) + 1); table <= last; table++) tables.push(table)
  }
  return tables
}

/** Computes where each part of the file lies. */
export function layoutOf(virtual_bytes: number, runs: DataRun[]): Qcow2Layout {
  const tables = tablesOf(runs)
  const last = runs.at(-1)
  const data = last ? last.rank + last.count : 0
  const l1Entries = Math.max(1, Math.ceil(virtual_bytes / (clusterBytes * entriesPerTable)))
  const l1Clusters = Math.ceil((l1Entries * entryBytes) / clusterBytes)
  const others = 1 + l1Clusters + tables.length + data
  // Refcounts count their own clusters too: grow until they cover all.
  let [blocks, blockTable] = [1, 1]
  for (;;) {
    const neededBlocks = Math.ceil((others + blocks + blockTable) / refcountsPerBlock)
    const neededTable = Math.ceil((neededBlocks * entryBytes) / clusterBytes)
    if (neededBlocks <= blocks && neededTable <= blockTable) break
    blocks = Math.max(blocks, neededBlocks)
    blockTable = Math.max(blockTable, neededTable)
  }
  const refcountBlocks = 1 + blockTable
  const l1 = refcountBlocks + blocks
  const l2 = l1 + l1Clusters
  const first = l2 + tables.length
  return {
    virtual_bytes,
    runs,
    tables,
    l1Entries,
    at: { refcountTable: 1, refcountBlocks, l1, l2, data: first, end: first + data },
  }
}

function headerOf({ virtual_bytes, l1Entries, at }: Qcow2Layout): Buffer {
  const head = Buffer.alloc(clusterBytes)
  head.write('QFI\xfb', 0, 'latin1')
  head.writeUInt32BE(3, 4)
  head.writeUInt32BE(Math.log2(clusterBytes), 20)
  head.writeBigUInt64BE(BigInt(virtual_bytes), 24)
  head.writeUInt32BE(l1Entries, 36)
  head.writeBigUInt64BE(BigInt(at.l1 * clusterBytes), 40)
  head.writeBigUInt64BE(BigInt(at.refcountTable * clusterBytes), 48)
  head.writeUInt32BE(at.refcountBlocks - at.refcountTable, 56)
  head.writeUInt32BE(Math.log2(refcountBytes * 8), 96)
  head.writeUInt32BE(104, 100)
  return head
}

/** A cluster of entries of eight bytes, from the entry `first` on. */
function entries(first: number, valueOf: (index: number) => bigint): Buffer {
  const cluster = Buffer.alloc(clusterBytes)
  for (let index = 0; index < entriesPerTable; index++)
    cluster.writeBigUInt64BE(valueOf(first + index), index * entryBytes)
  return cluster
}

/** The run that has the cluster of a rank; the runs cover all ranks below their end. */
export function runAtRank(runs: readonly DataRun[], rank: number): DataRun {
  let [low, high] = [0, runs.length - 1]
  while (low < high) {
    const middle = Math.ceil((low + high) / 2)
    if (runs[middle]!.rank <= rank) low = middle
    else high = middle - 1
  }
  return runs[low]!
}

/** Index of the first run that ends behind a cluster. */
function firstRunFrom(runs: readonly DataRun[], cluster: number): number {
  let [low, high] = [0, runs.length]
  while (low < high) {
    const middle = Math.floor((low + high) / 2)
    if (runs[middle]!.from + runs[middle]!.count <= cluster) low = middle + 1
    else high = middle
  }
  return low
}

function l2Table({ runs, at }: Qcow2Layout, table: number): Buffer {
  const cluster = Buffer.alloc(clusterBytes)
  const first = table * entriesPerTable
  const end = first + entriesPerTable
  for (let index = firstRunFrom(runs, first); index < runs.length && runs[index]!.from < end; index++) {
    const { from, count, rank } = runs[index]!
    for (let each = Math.max(from, first); each < Math.min(end, from + count); each++) {
      const place = BigInt(at.data + rank + each - from) * BigInt(clusterBytes)
      cluster.writeBigUInt64BE(place | copied, (each - first) * entryBytes)
    }
  }
  return cluster
}

/** A cluster of the file that is no data of the guest. */
export function metadataAt(layout: Qcow2Layout, cluster: number): Buffer {
  const { at, tables, l1Entries } = layout
  const placeOf = (number: number) => BigInt(number) * BigInt(clusterBytes)
  if (cluster < at.refcountTable) return headerOf(layout)
  if (cluster < at.refcountBlocks)
    return entries((cluster - at.refcountTable) * entriesPerTable, (index) =>
      at.refcountBlocks + index < at.l1 ? placeOf(at.refcountBlocks + index) : 0n,
    )
  if (cluster < at.l1) {
    const block = Buffer.alloc(clusterBytes)
    const used = Math.min(refcountsPerBlock, at.end - (cluster - at.refcountBlocks) * refcountsPerBlock)
    for (let index = 0; index < used; index++) block.writeUInt16BE(1, index * refcountBytes)
    return block
  }
  if (cluster >= at.l2) return l2Table(layout, tables[cluster - at.l2]!)
  const places = new Map(tables.map((table, index) => [table, at.l2 + index]))
  return entries((cluster - at.l1) * entriesPerTable, (index) => {
    const place = index < l1Entries ? places.get(index) : undefined
    return place === undefined ? 0n : placeOf(place) | copied
  })
}

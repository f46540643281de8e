/** The parts of a qcow2 header that say which bytes of which files belong to the image (docs/interop/qcow2.rst of QEMU). */
export type Qcow2Header = {
  clusterBits: number
  /** Size of an entry of an L2 table: 16 with subclusters. */
  entryBytes: number
  l1: Range
  refcountTable: Range
  /** Reference counts may be behind: they are repaired when a guest opens the image. */
  isDirty: boolean
  /** Reason for which the image is not copied. */
  refused: string | null
}

export type Range = { offset: number; length: number }

const [dirty, corrupt, externalData, , extendedL2] = [0, 1, 2, 3, 4].map((bit) => 1n << BigInt(bit)) as bigint[]
const mostL1Entries = 4 * 2 ** 20

/** Reads the header of a qcow2 image of version 2 or 3; null if it is cut, or is none. */
export function readQcow2Header(head: Buffer): Qcow2Header | null {
  if (head.length < 104) return null
  const version = head.readUInt32BE(4)
  const clusterBits = head.readUInt32BE(20)
  const l1Entries = head.readUInt32BE(36)
  if (version > 3 || clusterBits < 9 || clusterBits > 21 || l1Entries > mostL1Entries) return null
  const features = version >= 3 ? head.readBigUInt64BE(72) : 0n
  const has = (feature: bigint | undefined) => (features & feature!) !== 0n
  const refused = () => {
    if (head.readBigUInt64BE(8) !== 0n) return 'has a backing file, which is not read: flatten it first'
    if (has(externalData)) return 'has its data in another file, which is not read'
    if (head.readUInt32BE(32) !== 0) return 'is encrypted'
    if (has(corrupt)) return 'is marked as corrupt by QEMU: repair it first (qemu-img check -r all)'
    return null
  }
  return {
    clusterBits,
    entryBytes: has(extendedL2) ? 16 : 8,
    l1: { offset: Number(head.readBigUInt64BE(40)), length: l1Entries * 8 },
    refcountTable: { offset: Number(head.readBigUInt64BE(48)), length: head.readUInt32BE(56) * 2 ** clusterBits },
    isDirty: has(dirty),
    refused: refused(),
  }
}

const addressMask = 0x00fffffffffffe00n

/** Places of the L2 tables that an L1 table names. */
export function l2Tables(l1: Buffer, { clusterBits }: Qcow2Header): Range[] {
  return entriesOf(l1, 8)
    .map((entry) => Number(entry & addressMask))
    .filter((offset) => offset !== 0)
    .map((offset) => ({ offset, length: 2 ** clusterBits }))
}

/** Compressed clusters that an L2 table names. Each ends in its last sector, which need not be complete. */
export function compressedClusters(l2: Buffer, { clusterBits, entryBytes }: Qcow2Header): Range[] {
  const offsetBits = BigInt(62 - (clusterBits - 8))
  return entriesOf(l2, entryBytes)
    .filter((entry) => (entry & (1n << 62n)) !== 0n)
    .map((entry) => {
      const offset = Number(entry & ((1n << offsetBits) - 1n))
      const moreSectors = Number((entry & ((1n << 62n) - 1n)) >> offsetBits)
      return { offset, length: Math.max(1, moreSectors * 512 - (offset % 512) + 1) }
    })
}

const entriesOf = (table: Buffer, entryBytes: number): bigint[] =>
  Array.from({ length: Math.floor(table.length / entryBytes) }, (_, index) => table.readBigUInt64BE(index * entryBytes))

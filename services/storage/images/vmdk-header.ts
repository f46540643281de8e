import type { Range } from './qcow2-header.ts'

/** The header of a sparse extent of VMDK ("Virtual Disk Format 5.0", SparseExtentHeader); null if it is none. */
export type VmdkHeader = {
  capacityBytes: number
  descriptor: Range
  hasFooter: boolean
  /** Compressed grains begin with their place and their length. */
  isCompressed: boolean
  /** The grain directory: 32-bit sector numbers of the grain tables. */
  directory: Range
  tableBytes: number
}

const sector = 512
/** `gdOffset` of an image whose header is repeated at its end. */
const atEnd = 0xffff_ffff_ffff_ffffn
const mostDescriptorBytes = 64 * 1024
const compressedFlag = 1 << 16
/** QEMU's own limits of a grain table, and of the directory of a disk of 64 TiB with grains of 64 KiB. */
const mostTableBytes = 512 * 4
const mostTables = 2 ** 21

/** Places named in a grain directory or a grain table, in bytes; 0 and 1 stand for grains that are not stored. */
export const placesIn = (table: Buffer): number[] =>
  Array.from({ length: table.length >> 2 }, (_, index) => table.readUInt32LE(index * 4))
    .filter((at) => at > 1)
    .map((at) => at * sector)

export const markerBytes = 12
/** Bytes of a compressed grain with its marker (GrainMarker: sector number, length of the data). */
export const grainBytes = (marker: Buffer): number =>
  marker.length < markerBytes ? markerBytes : markerBytes + marker.readUInt32LE(8)

export function readVmdkHeader(head: Buffer): VmdkHeader | null {
  if (head.length < 79 || head.toString('latin1', 0, 4) !== 'KDMV') return null
  const sectors = (at: number) => Number(head.readBigUInt64LE(at)) * sector
  const tableBytes = head.readUInt32LE(44) * 4
  const tableCovers = (tableBytes / 4) * sectors(20)
  const tables = tableCovers > 0 ? Math.ceil(sectors(12) / tableCovers) : 0
  return {
    capacityBytes: sectors(12),
    descriptor: { offset: sectors(28), length: Math.min(sectors(36), mostDescriptorBytes) },
    hasFooter: head.readBigUInt64LE(56) === atEnd,
    isCompressed: (head.readUInt32LE(8) & compressedFlag) !== 0,
    directory: { offset: sectors(56), length: Math.min(tables, mostTables) * 4 },
    tableBytes: Math.min(tableBytes, mostTableBytes),
  }
}

const oneFile = ['monolithicSparse', 'streamOptimized']
const flatten = 'convert it first: qemu-img convert -O qcow2'

/**
 * The reason to refuse an image by its header and descriptor; null for one that is a whole disk in one file. QEMU opens
 * the files that a descriptor names, if the header has no capacity, and the parent that it names always.
 */
export function refusedVmdk(
  { capacityBytes, descriptor }: Pick<VmdkHeader, 'capacityBytes' | 'descriptor'>,
  text: string,
): string | null {
  if (capacityBytes === 0 || descriptor.length === 0) return `has no disk of its own in it: ${flatten}`
  const type = /^createType="([^"\n]*)"/m.exec(text)?.[1]
  if (type === undefined || !oneFile.includes(type))
    return `is a vmdk image of type ${type ?? 'unknown'}; what can be copied is ${oneFile.join(' and ')}: ${flatten}`
  const hasParent = !/^parentCID=f{8}\s*$/im.test(text) || /^parentFileNameHint/im.test(text)
  if (hasParent) return 'has a parent image, which is not read: flatten it first'
  const extents = text.match(/^(RW|RDONLY|NOACCESS) \d+ .*$/gm) ?? []
  return extents.length === 1 && /^RW \d+ SPARSE "/.test(extents[0]!) ? null : 'names other files, which are not read'
}

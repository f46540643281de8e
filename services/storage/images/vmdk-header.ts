/** The header of a sparse extent of VMDK ("Virtual Disk Format 5.0", SparseExtentHeader); null if it is none. */
export type VmdkHeader = { capacityBytes: number; descriptor: { offset: number; length: number }; hasFooter: boolean }

const sector = 512
/** `gdOffset` of an image whose header is repeated at its end. */
const atEnd = 0xffff_ffff_ffff_ffffn
const mostDescriptorBytes = 64 * 1024

export function readVmdkHeader(head: Buffer): VmdkHeader | null {
  if (head.length < 79 || head.toString('latin1', 0, 4) !== 'KDMV') return null
  const sectors = (at: number) => Number(head.readBigUInt64LE(at)) * sector
  return {
    capacityBytes: sectors(12),
    descriptor: { offset: sectors(28), length: Math.min(sectors(36), mostDescriptorBytes) },
    hasFooter: head.readBigUInt64LE(56) === atEnd,
  }
}

const oneFile = ['monolithicSparse', 'streamOptimized']
const flatten = 'convert it first: qemu-img convert -O qcow2'

/**
 * The reason to refuse an image by its header and descriptor; null for one that is a whole disk in one file. QEMU opens
 * the files that a descriptor names, if the header has no capacity, and the parent that it names always.
 */
export function refusedVmdk({ capacityBytes, descriptor }: VmdkHeader, text: string): string | null {
  if (capacityBytes === 0 || descriptor.length === 0) return `has no disk of its own in it: ${flatten}`
  const type = /^createType="([^"\n]*)"/m.exec(text)?.[1]
  if (type === undefined || !oneFile.includes(type))
    return `is a vmdk image of type ${type ?? 'unknown'}; what can be copied is ${oneFile.join(' and ')}: ${flatten}`
  const hasParent = !/^parentCID=f{8}\s*$/im.test(text) || /^parentFileNameHint/im.test(text)
  if (hasParent) return 'has a parent image, which is not read: flatten it first'
  const extents = text.match(/^(RW|RDONLY|NOACCESS) \d+ .*$/gm) ?? []
  return extents.length === 1 && /^RW \d+ SPARSE "/.test(extents[0]!) ? null : 'names other files, which are not read'
}

/** Bytes of a file that {@link formatOf} looks at: its beginning, and its last sector. */
export const headBytes = 512
export const tailBytes = 512

export type ImageFormat = 'raw' | 'qcow2' | 'vmdk' | 'vdi' | 'vhdx'
type Format = { format: ImageFormat } | { refused: string }

type Magic = { at?: number; bytes: string; format: string; help: string }

const unpack = (how: string) => `unpack it first (${how}) and give the file in it`
const convert = 'convert it first: qemu-img convert -O qcow2'

/** Files that are no disk themselves, by the bytes at their beginning (latin1). */
const foreign: Magic[] = [
  { bytes: '\x1f\x8b\x08', format: 'a gzip file', help: unpack('gunzip') },
  { bytes: '\xfd7zXZ\0', format: 'an xz file', help: unpack('unxz') },
  { bytes: '\x28\xb5\x2f\xfd', format: 'a zstd file', help: unpack('unzstd') },
  { bytes: '\x04\x22\x4d\x18', format: 'an lz4 file', help: unpack('unlz4') },
  { bytes: 'LZIP', format: 'an lzip file', help: unpack('lzip -d') },
  { bytes: '\x5d\0\0', format: 'an lzma file', help: unpack('unlzma') },
  { bytes: '\x1f\x9d', format: 'a compress file', help: unpack('uncompress') },
  { bytes: 'PK\x03\x04', format: 'a zip archive', help: unpack('unzip') },
  { bytes: 'PK\x05\x06', format: 'an empty zip archive', help: 'download it again' },
  { bytes: '7z\xbc\xaf\x27\x1c', format: 'a 7z archive', help: unpack('7z x') },
  { bytes: 'Rar!\x1a\x07', format: 'a rar archive', help: unpack('unrar x') },
  { at: 257, bytes: 'ustar', format: 'a tar archive, such as an OVA', help: unpack('tar -xf') },
  { bytes: 'COWD', format: 'a vmdk image of an old kind', help: convert },
  { bytes: '# Disk DescriptorFile', format: 'a vmdk descriptor, whose disk is in other files', help: convert },
  { bytes: 'conectix', format: 'a vpc (VHD) image', help: convert },
  { bytes: 'QED\0', format: 'a qed image', help: convert },
  { bytes: 'WithoutFreeSpace', format: 'a parallels image', help: convert },
  { bytes: 'WithouFreSpacExt', format: 'a parallels image', help: convert },
  { bytes: 'Bochs Virtual HD Image', format: 'a bochs image', help: convert },
  { bytes: '#!/bin/sh\n#V2.0 Format\n', format: 'a cloop image', help: convert },
  { bytes: 'LUKS\xba\xbe', format: 'a luks image, which is encrypted', help: 'decrypt it first' },
]

const atEnd: Magic[] = [
  { bytes: 'conectix', format: 'a vpc (VHD) image', help: convert },
  { bytes: 'koly', format: 'a dmg image', help: convert },
]

/**
 * Tells the format of a disk image by its magic bytes. Files without any are raw, an ISO as well; those of known other
 * kinds, such as a compressed image or the page of a web server, are refused.
 */
export function formatOf(head: Buffer, tail: Buffer): Format {
  if (head.toString('latin1', 0, 4) === 'QFI\xfb')
    return (head.at(7) ?? 0) >= 2 ? { format: 'qcow2' } : refused('a qcow image of version 1', convert)
  // "<<< Oracle VM VirtualBox Disk Image >>>" or other text stands before the signature.
  if (head.length >= 68 && head.readUInt32LE(64) === 0xbeda107f) return { format: 'vdi' }
  if (head.toString('latin1', 0, 8) === 'vhdxfile') return { format: 'vhdx' }
  if (head.toString('latin1', 0, 4) === 'KDMV') return { format: 'vmdk' }
  const found =
    foreign.find((magic) => has(head, magic)) ?? atEnd.find((magic) => has(tail, magic)) ?? textOf(head) ?? bzip2(head)
  return found ? refused(found.format, found.help) : { format: 'raw' }
}

/** True for a tar archive, such as an OVA. */
export const isTar = (head: Buffer): boolean => has(head, { at: 257, bytes: 'ustar' })

const refused = (format: string, help: string) => ({
  refused: `is ${format}; what can be copied is raw, qcow2, vmdk, vdi or vhdx: ${help}`,
})

const has = (part: Buffer, { at = 0, bytes }: Pick<Magic, 'at' | 'bytes'>) =>
  part.toString('latin1', at, at + bytes.length) === bytes

/** A web server's answer in place of the file, such as its page for an error. */
function textOf(head: Buffer): Magic | undefined {
  const isMarkup = /^(\xef\xbb\xbf)?\s*<(!doctype|html|head|body|\?xml)\b/i.test(head.toString('latin1'))
  return isMarkup ? { bytes: '<', format: 'an HTML or XML text', help: 'download the image again' } : undefined
}

/** `BZh`, the level, and the mark of a block (pi) or of the end (the square root of pi). */
function bzip2(head: Buffer): Magic | undefined {
  const isMarked = ['1AY&SY', '\x17rE8P\x90'].includes(head.toString('latin1', 4, 10))
  return has(head, { bytes: 'BZh' }) && isMarked
    ? { bytes: 'BZh', format: 'a bzip2 file', help: unpack('bunzip2') }
    : undefined
}

import { diskBytes } from '#shared/contracts/storage/volumes.ts'
import { ConflictError } from '#shared/errors.ts'
import type { Host } from '#shared/nodes/host/host.ts'
import { formatOf, headBytes, type ImageFormat, isTar, tailBytes } from './image-format.ts'
import { checkImage, imageInfo, imageMap } from './qemu-img.ts'
import { grainBytes, markerBytes, placesIn, readVmdkHeader, refusedVmdk, type VmdkHeader } from './vmdk-header.ts'
import { compressedClusters, l2Tables, type Qcow2Header, type Range, readQcow2Header } from './qcow2-header.ts'

const sector = 512
/** Fewer than the sessions that an SSH server allows in a connection. */
const parallelReads = 4

type File = {
  host: Host
  /** The name in messages. */
  name: string
  /** The name for QEMU. */
  path: string
  sizeBytes: number
  refuse: (why: string) => ConflictError
  read: (range: Range) => Promise<Buffer>
}

/** A part of a file, such as a file in an archive. `name`: in messages. */
export type Part = Range & { name: string }

/** A file, or a part of it, as QEMU opens it. */
export const pathOfPart = (path: string, part?: Part): string => {
  if (!part) return path
  const file = { driver: 'raw', offset: part.offset, size: part.length, file: { driver: 'file', filename: path } }
  return `json:${JSON.stringify({ file })}`
}

/** Reads bytes of a file. */
export async function readRange(host: Host, path: string, { offset, length }: Range): Promise<Buffer> {
  const place = ['iflag=skip_bytes,count_bytes', `skip=${offset}`, `count=${length}`, 'bs=1M', 'status=none']
  return (await host.runChecked('dd', [`if=${path}`, ...place], { maxOutputBytes: 64 * 2 ** 20 })).bytes
}

async function openFile(host: Host, path: string, part?: Part): Promise<File> {
  const name = part?.name ?? path
  const refuse = (why: string) => new ConflictError(`${name} ${why}`)
  const file = await host.stat(path)
  if (file?.kind !== 'file') throw refuse('is not a file')
  const { offset: start, length: sizeBytes } = part ?? { offset: 0, length: file.sizeBytes }
  const read = ({ offset, length }: Range) =>
    readRange(host, path, { offset: start + offset, length: Math.max(0, Math.min(length, sizeBytes - offset)) })
  return { host, name, path: pathOfPart(path, part), sizeBytes, refuse, read }
}

/**
 * Reads a file that is not ours as an image: its format, which every later command is given, and its virtual size. It is
 * not trusted, so no other file is read for it: QEMU's own detection would open the files that an image names.
 * @throws ConflictError for a file that is no disk image, names other files, or is cut off
 */
export async function readImage(
  host: Host,
  path: string,
  part?: Part,
): Promise<{ format: ImageFormat; virtualSize: number }> {
  const file = await openFile(host, path, part)
  if (file.sizeBytes === 0) throw file.refuse('is empty')
  const [head, tail] = await endsOf(file)
  const found = formatOf(head, tail)
  if ('refused' in found) throw file.refuse(found.refused)
  const { format } = found
  await checks[format](file, head)
  const { virtualSize } = await imageInfo(host, file.path, format)
  if (virtualSize === 0) throw file.refuse('is empty')
  if (virtualSize > diskBytes.maximum)
    throw file.refuse(`is a disk of ${virtualSize} bytes; the largest is ${diskBytes.maximum}`)
  return { format, virtualSize }
}

/** The format of a file by its bytes. @throws ConflictError for one that is no disk image and no archive of one */
export async function formatOfFile(host: Host, path: string): Promise<ImageFormat | 'ova'> {
  const file = await openFile(host, path)
  const [head, tail] = await endsOf(file)
  if (isTar(head)) return 'ova'
  const found = formatOf(head, tail)
  if ('refused' in found) throw file.refuse(found.refused)
  return found.format
}

const endsOf = (file: File) =>
  Promise.all([
    file.read({ offset: 0, length: headBytes }),
    file.read({ offset: Math.max(0, file.sizeBytes - tailBytes), length: tailBytes }),
  ])

const checks = {
  async raw(file: File) {
    requireSectors(file)
  },
  qcow2: checkQcow2,
  async vdi(file: File) {
    requireAll(file, await imageMap(file.host, file.path, 'vdi'))
    await requireConsistent(file, 'vdi')
  },
  vmdk: checkVmdk,
  async vhdx(file: File) {
    // QEMU's comparison below misses a single byte.
    requireSectors(file)
    requireAll(file, vhdxRegions(await file.read({ offset: 192 * 1024, length: 64 * 1024 })))
    // Compares the blocks with the length of the file.
    await requireConsistent(file, 'vhdx')
  },
}

function requireSectors({ sizeBytes, refuse }: File): void {
  if (sizeBytes % sector === 0) return
  throw refuse(
    `has ${sizeBytes} bytes, which is no multiple of ${sector}: it is cut off, or no disk image (what can be copied is raw, qcow2, vdi or vhdx)`,
  )
}

async function checkVmdk(file: File, head: Buffer): Promise<void> {
  const header = readVmdkHeader(head)
  if (!header) throw file.refuse('has no valid vmdk header')
  requireAll(file, [header.descriptor])
  const refused = refusedVmdk(header, (await file.read(header.descriptor)).toString('latin1'))
  if (refused !== null) throw file.refuse(refused)
  const last = header.hasFooter ? await requireFooter(file) : header
  requireAll(file, await imageMap(file.host, file.path, 'vmdk'))
  if (header.isCompressed) await requireLastGrain(file, last)
  await requireConsistent(file, 'vmdk')
}

/** Requires the footer of a streamOptimized image: its header once more, before the last sector. */
async function requireFooter(file: File): Promise<VmdkHeader> {
  const footer = await file.read({ offset: Math.max(0, file.sizeBytes - 2 * sector), length: sector })
  const header = readVmdkHeader(footer)
  if (!header || header.capacityBytes === 0) throw file.refuse('is cut off: its footer is missing')
  return header
}

/** Requires the whole of the compressed grain that lies last; QEMU's check looks only where it begins. */
async function requireLastGrain(file: File, { directory, tableBytes }: VmdkHeader): Promise<void> {
  requireAll(file, [directory])
  const tables = placesIn(await file.read(directory)).map((offset) => ({ offset, length: tableBytes }))
  requireAll(file, tables)
  let last = 0
  for (let first = 0; first < tables.length; first += parallelReads) {
    const read = await Promise.all(tables.slice(first, first + parallelReads).map(file.read))
    for (const table of read) for (const at of placesIn(table)) last = Math.max(last, at)
  }
  if (last === 0) return
  const marker = await file.read({ offset: last, length: markerBytes })
  requireAll(file, [{ offset: last, length: grainBytes(marker) }])
}

async function checkQcow2(file: File, head: Buffer): Promise<void> {
  const header = readQcow2Header(head)
  if (!header) throw file.refuse('has no valid qcow2 header')
  if (header.refused !== null) throw file.refuse(header.refused)
  requireAll(file, [header.l1, header.refcountTable])
  const tables = l2Tables(await file.read(header.l1), header)
  requireAll(file, tables)
  requireAll(file, await imageMap(file.host, file.path, 'qcow2'))
  const { compressed } = await requireConsistent(file, 'qcow2', header)
  if (compressed === 0) return
  for (let first = 0; first < tables.length; first += parallelReads) {
    const read = await Promise.all(tables.slice(first, first + parallelReads).map(file.read))
    for (const table of read) requireAll(file, compressedClusters(table, header))
  }
}

/** Requires that the file has the bytes at these places. @throws ConflictError with the first missing place */
function requireAll({ sizeBytes, refuse }: File, ranges: Range[]): void {
  const missing = ranges.find(({ offset, length }) => offset + length > sizeBytes)
  if (missing)
    throw refuse(
      `is cut off: it has ${sizeBytes} bytes, and parts of the disk up to byte ${missing.offset + missing.length}. Copy or download it again`,
    )
}

/** Runs `qemu-img check`. Reference counts of a dirty image do not count: a guest's QEMU repairs them. */
async function requireConsistent(file: File, format: string, header?: Qcow2Header): Promise<{ compressed: number }> {
  const { errors, compressed } = await checkImage(file.host, file.path, format)
  const isOfCounts = (line: string) => /refcount=\d+/.test(line)
  const error = errors.find((line) => !(header?.isDirty && isOfCounts(line)))
  if (error === undefined) return { compressed }
  const isCut = /exceeding the end of the file|truncated|after EOF/.test(error)
  throw file.refuse(`${isCut ? 'is cut off' : 'is damaged'}: qemu-img check on ${file.host.describe()}: ${error}`)
}

/** Places of the regions in the region table of a VHDX image ([MS-VHDX] 2.2.3): block table and metadata. */
function vhdxRegions(table: Buffer): Range[] {
  if (table.toString('latin1', 0, 4) !== 'regi') return [{ offset: 192 * 1024, length: 64 * 1024 }]
  const count = Math.min(table.readUInt32LE(8), Math.floor((table.length - 16) / 32))
  return Array.from({ length: count }, (_, index) => {
    const entry = 16 + index * 32
    return { offset: Number(table.readBigUInt64LE(entry + 16)), length: table.readUInt32LE(entry + 24) }
  })
}

/** Snapshots of running domains without metadata of libvirt, and jobs that merge layers of their disks. */
import type { Libvirt } from '../connection/connection.ts'
import { order } from './domain.ts'

/** virDomainSnapshotCreateFlags. */
const [noMetadata, diskOnly, reuseExternal, atomic] = [4, 16, 32, 128] as const

/** Switches disks to image files that are there, all in one transaction (libvirt's "Snapshot XML format"). */
export const switchDisks = (libvirt: Libvirt, uuid: string, xml: string): Promise<void> =>
  libvirt.call('createSnapshot', { uuid, xml, flags: noMetadata | diskOnly | reuseExternal | atomic }, { isSlow: true })

/** Writes the memory of a domain to the file that the snapshot XML names; its disks stay as they are. */
export const saveMemory = (libvirt: Libvirt, uuid: string, xml: string): Promise<void> =>
  libvirt.call('createSnapshot', { uuid, xml, flags: noMetadata }, { isSlow: true })

/** The definition in a file of saved memory, with passwords. */
export const savedXml = (libvirt: Libvirt, path: string): Promise<string> =>
  libvirt.call('savedXml', { path, flags: 1 })

/** Starts a domain with saved memory. @param xml its definition with the disks of now */
export const restoreSaved = (libvirt: Libvirt, path: string, xml: string, { paused }: { paused: boolean }) =>
  libvirt.call('restoreSaved', { path, xml, flags: paused ? 4 : 2 }, { isSlow: true })

export type DiskJob = { done: number; total: number }

/** The job on a disk; null when there is none. */
export async function diskJob(libvirt: Libvirt, uuid: string, disk: string): Promise<DiskJob | null> {
  const bytes = await libvirt.call('blockJob', { uuid, disk })
  if (bytes === null) return null
  // struct { int type; unsigned long bandwidth; unsigned long long cur; unsigned long long end }
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  return { done: Number(view.readBigUInt64LE(16)), total: Number(view.readBigUInt64LE(24)) }
}

/** Begins to move the content of an image into one below it. @param top null: the image that the guest writes */
export const beginCommit = (libvirt: Libvirt, uuid: string, disk: string, base: string, top: string | null) =>
  order(libvirt, uuid, 'virDomainBlockCommit', disk, base, top, 0, top === null ? 4 : 0)

/** Has the guest write into the base of a commit from then on. ConflictError while the base lags behind. */
export const pivot = (libvirt: Libvirt, uuid: string, disk: string) =>
  order(libvirt, uuid, 'virDomainBlockJobAbort', disk, 2)

/** virDomainBlockCopyFlags. */
const [reuseImage, transientJob, synchronousWrites] = [2, 4, 8] as const

/** struct _virTypedParameter with an unsigned long long: char field[80]; int type; union of 8 bytes. */
function typedUllong(name: string, value: number): Buffer {
  const bytes = Buffer.alloc(96)
  bytes.write(name, 'latin1')
  bytes.writeInt32LE(4, 80)
  bytes.writeBigUInt64LE(BigInt(value), 88)
  return bytes
}

/**
 * Begins to copy a disk into an image that is there. From the moment at which both are the same, a write of the guest ends
 * when both have it.
 * @param xml of the image, a `<disk>` of libvirt's "Domain XML format". @param bytesPerSecond 0: no limit
 */
export const beginMirror = (libvirt: Libvirt, uuid: string, disk: string, xml: string, bytesPerSecond: number) =>
  order(
    libvirt,
    uuid,
    'virDomainBlockCopy',
    disk,
    xml,
    typedUllong('bandwidth', bytesPerSecond),
    bytesPerSecond > 0 ? 1 : 0,
    reuseImage | transientJob | synchronousWrites,
  )

/** Limits the job on a disk; 0: no limit. */
export const limitJob = (libvirt: Libvirt, uuid: string, disk: string, bytesPerSecond: number) =>
  order(libvirt, uuid, 'virDomainBlockJobSetSpeed', disk, bytesPerSecond, 1)

/** Ends the job on a disk, which stays on its present image. */
export const abandonJob = (libvirt: Libvirt, uuid: string, disk: string) =>
  order(libvirt, uuid, 'virDomainBlockJobAbort', disk, 0)

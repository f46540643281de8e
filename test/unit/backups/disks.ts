import { readFileSync, writeFileSync } from 'node:fs'
import {
  chunksIn,
  type ChunkList,
  chunkBytes,
  digestOf,
  isZero,
  pushChunk,
} from '../../../services/storage/backups/store/chunks.ts'
import { readCatalog } from '../../../services/storage/backups/store/catalog.ts'
import {
  keyOfManifest,
  type VmManifest,
  readManifest,
  writeManifest,
} from '../../../services/storage/backups/store/manifest.ts'
import { readWholeCatalog } from '../../../services/storage/backups/store/collect.ts'
import type { Objects } from '../../../services/storage/backups/store/objects.ts'
import { packWriter } from '../../../services/storage/backups/store/pack-writer.ts'
import { readChunks } from '../../../services/storage/backups/store/read-chunks.ts'

/** Chunks of a disk. Small ones are padded: the store does not ask how long a chunk is, but for zeros. */
export type Disk = (Buffer | null)[]

/** Writes a backup of one disk, as a backup of a VM does. */
export async function saveDisk(objects: Objects, id: string, disk: Disk, packBytes = 1000): Promise<VmManifest> {
  const writer = packWriter(objects, await readCatalog(objects), packBytes)
  const chunks: ChunkList = []
  for (const chunk of disk) {
    const stored = chunk && !isZero(chunk) ? await objects.encryption.idOf(chunk) : null
    pushChunk(chunks, stored)
    if (stored) await writer.add(stored, chunk!)
  }
  await writer.finish()
  const size_bytes = disk.length * chunkBytes
  const manifest: VmManifest = {
    format: 1,
    chunk_bytes: chunkBytes,
    id,
    vm_id: 'vm',
    vm_name: 'vm',
    hypervisor: 'qemu',
    node: 'local',
    description: '',
    taken_at: '2026-11-30T04:05:00.000Z',
    consistency: null,
    vm_status: 'stopped',
    vm: { description: '', tags: [] },
    config: plain,
    guest_state: null,
    disks: [
      {
        id: 'vda',
        bus: 'virtio',
        cache: 'none',
        format: 'raw',
        pool: 'images',
        volume: 'vm-disk-0',
        size_bytes,
        digest: digestOf(chunks, size_bytes, objects.encryption),
        chunks,
      },
    ],
  }
  await writeManifest(objects, manifest)
  return manifest
}

const plain: VmManifest['config'] = {
  architecture: 'x86_64',
  memory: 128,
  balloon: null,
  cpus: 1,
  max_cpus: null,
  cpu_model: null,
  topology: null,
  boot_order: null,
  firmware: 'bios',
  graphics: [],
  video: 'none',
  autostart: false,
  nics: [],
  iso: null,
  boot: null,
}

/** Reads a disk back, as chunks. */
export async function loadDisk(objects: Objects, { id, vm_id, taken_at }: VmManifest): Promise<Disk> {
  // Only backups of virtual machines are made here.
  const manifest = (await readManifest(objects, keyOfManifest({ id, vm_id, taken_at }))) as VmManifest
  const [disk] = manifest.disks
  const found = new Map<string, Buffer>()
  const wanted = new Set([...chunksIn(disk!.chunks as ChunkList)].map((each) => each.id))
  await readChunks(objects, (await readWholeCatalog(objects)).catalog, wanted, {
    signal: new AbortController().signal,
    onChunk: async (chunk, bytes) => void found.set(chunk, bytes),
    onUnreadable: ({ chunk, reason }) => {
      throw new Error(`${chunk} ${reason}`)
    },
  })
  const out: Disk = Array.from({ length: Math.ceil(disk!.size_bytes / chunkBytes) }, () => null)
  for (const { index, id: chunk } of chunksIn(disk!.chunks as ChunkList)) out[index] = found.get(chunk)!
  return out
}

/** Changes one bit of a file. A negative place counts from its end. */
export function flip(path: string, at: number): void {
  const bytes = readFileSync(path)
  bytes[at < 0 ? bytes.length + at : at]! ^= 1
  writeFileSync(path, bytes)
}

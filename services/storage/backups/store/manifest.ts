import { type Static, Type } from 'typebox'
import { isValid } from '#shared/contract/validate.ts'
import { Id, Name, nullable, oneOf, Time } from '#shared/contracts/common.ts'
import { VolumeFormat } from '#shared/contracts/storage/pools.ts'
import { Consistency, Snapshot } from '#shared/contracts/vm/snapshots.ts'
import type { Objects } from './objects.ts'
import { type ChunkList, chunkBytes, countOf, digestOf } from './chunks.ts'
import { DamagedPack, sha256 } from './pack.ts'

const Sha256 = Type.String({ pattern: '^[0-9a-f]{64}$' })

const ManifestDisk = Type.Object({
  id: Type.String({ description: 'Its place in the guest, such as vda' }),
  bus: Type.String(),
  cache: Type.String(),
  format: VolumeFormat,
  pool: Id,
  volume: Type.String(),
  size_bytes: Type.Integer({ minimum: 1 }),
  digest: Sha256,
  chunks: Type.Array(Type.Union([Sha256, Type.Integer({ minimum: 1 })])),
})

/** The one object that makes a backup, written last. Every backup names all its chunks. */
export const Manifest = Type.Object({
  format: Type.Literal(1),
  chunk_bytes: Type.Literal(chunkBytes),
  id: Id,
  vm_id: Id,
  vm_name: Name,
  hypervisor: Type.String(),
  node: Id,
  description: Type.String(),
  taken_at: Time,
  consistency: nullable(Consistency),
  vm_status: oneOf('running', 'paused', 'stopped'),
  vm: Type.Object({ description: Type.String(), tags: Type.Array(Type.String()) }),
  config: Snapshot.properties.config,
  guest_state: nullable(Type.String({ description: 'UEFI variables and TPM as a tar, compressed by zstd, in Base64' })),
  disks: Type.Array(ManifestDisk),
})
export type Manifest = Static<typeof Manifest>

/** `20261130T040500Z`: keys sort by time. */
const stampOf = (time: string): string => time.replaceAll(/[-:]|\.\d+/g, '')

export const keyOfManifest = ({ vm_id, id, taken_at }: Pick<Manifest, 'vm_id' | 'id' | 'taken_at'>): string =>
  `backups/${vm_id}/${stampOf(taken_at)}-${id}.json`

/** @returns the SHA-256 of what is written */
export async function writeManifest(objects: Objects, manifest: Manifest): Promise<string> {
  const bytes = Buffer.from(`${JSON.stringify(manifest, null, 1)}\n`)
  await objects.put(keyOfManifest(manifest), bytes)
  return sha256(bytes)
}

/**
 * Reads a manifest.
 * @param expected its SHA-256, where it is known
 * @throws DamagedPack when it is not what was written, NotFoundError when it is gone
 */
export async function readManifest(objects: Objects, key: string, expected?: string): Promise<Manifest> {
  const bytes = await objects.get(key)
  if (expected !== undefined && sha256(bytes) !== expected)
    throw new DamagedPack(`the manifest ${key} has changed since it was written`)
  let manifest: unknown
  try {
    manifest = JSON.parse(bytes.toString('utf8'))
  } catch (error) {
    throw new DamagedPack(`the manifest ${key} is no JSON: ${(error as Error).message}`)
  }
  if (!isValid(Manifest, manifest)) throw new DamagedPack(`the manifest ${key} is none of format 1`)
  // It was checked just now.
  const read = manifest as Manifest
  for (const { id, chunks, size_bytes, digest } of read.disks) {
    const list = chunks as ChunkList
    if (
      countOf(list) !== Math.ceil(size_bytes / chunkBytes) ||
      digestOf(list, size_bytes, objects.encryption) !== digest
    )
      throw new DamagedPack(`the chunks of disk ${id} in ${key} do not fit its digest`)
  }
  return read
}

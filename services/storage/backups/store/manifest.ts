import { type Static, Type } from 'typebox'
import { isValid } from '#shared/contract/validate.ts'
import { Id, Name, nullable, oneOf, Time } from '#shared/contracts/common.ts'
import { VolumeFormat } from '#shared/contracts/storage/pools.ts'
import { LeftOut, SavedContainer, SavedPlace } from '#shared/contracts/container/saved-container.ts'
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

const common = {
  format: Type.Literal(1),
  chunk_bytes: Type.Literal(chunkBytes),
  id: Id,
  node: Id,
  description: Type.String(),
  taken_at: Time,
}

const VmManifest = Type.Object({
  ...common,
  kind: Type.Optional(Type.Literal('vm')),
  vm_id: Id,
  vm_name: Name,
  hypervisor: Type.String(),
  consistency: nullable(Consistency),
  vm_status: oneOf('running', 'paused', 'stopped'),
  vm: Type.Object({ description: Type.String(), tags: Type.Array(Type.String()) }),
  config: Snapshot.properties.config,
  guest_state: nullable(Type.String({ description: 'UEFI variables and TPM as a tar, compressed by zstd, in Base64' })),
  disks: Type.Array(ManifestDisk),
})
export type VmManifest = Static<typeof VmManifest>

const Chunks = Type.Array(Sha256)

/** A tar archive, and beside it a list of its entries, so that files are found without reading all of it. */
const ManifestArchive = Type.Object({
  ...SavedPlace.properties,
  size_bytes: Type.Integer({ minimum: 0 }),
  entries: Type.Integer({ minimum: 0 }),
  digest: Sha256,
  chunks: Chunks,
  chunk_sizes: Type.Array(Type.Integer({ minimum: 1, maximum: chunkBytes })),
  index_chunks: Chunks,
})
export type ManifestArchive = Static<typeof ManifestArchive>

const ContainerManifest = Type.Object({
  ...common,
  kind: Type.Literal('container'),
  container: SavedContainer,
  paused: Type.Boolean(),
  left_out: Type.Array(LeftOut),
  archives: Type.Array(ManifestArchive),
})
export type ContainerManifest = Static<typeof ContainerManifest>

/** The one object that makes a backup, written last. Every backup names all its chunks. */
const Manifest = Type.Union([VmManifest, ContainerManifest])
export type Manifest = VmManifest | ContainerManifest

export const isOfContainer = (manifest: Manifest): manifest is ContainerManifest => manifest.kind === 'container'

/** The lists of chunks that a backup needs. */
export const chunkListsOf = (manifest: Manifest): ChunkList[] =>
  isOfContainer(manifest)
    ? manifest.archives.flatMap(({ chunks, index_chunks }) => [chunks, index_chunks])
    : manifest.disks.map(({ chunks }) => chunks as ChunkList)

/** `20261130T040500Z`: keys sort by time. */
const stampOf = (time: string): string => time.replaceAll(/[-:]|\.\d+/g, '')

type Keyed = Pick<Manifest, 'id' | 'taken_at'> & (Pick<VmManifest, 'vm_id'> | Pick<ContainerManifest, 'container'>)

export const keyOfManifest = (manifest: Keyed): string =>
  `backups/${'vm_id' in manifest ? manifest.vm_id : manifest.container.id}/${stampOf(manifest.taken_at)}-${manifest.id}.json`

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
  if (isOfContainer(read)) requireArchives(read, key, objects)
  else requireDisks(read, key, objects)
  return read
}

/** @throws DamagedPack for chunks that do not fit their digests */
function requireArchives({ archives }: ContainerManifest, key: string, { encryption }: Objects): void {
  for (const { id, chunks, chunk_sizes, size_bytes, digest } of archives)
    if (
      chunk_sizes.length !== chunks.length ||
      chunk_sizes.reduce((sum, size) => sum + size, 0) !== size_bytes ||
      digestOf(chunks, 0, encryption) !== digest
    )
      throw new DamagedPack(`the chunks of ${id} in ${key} do not fit its digest`)
}

/** @throws DamagedPack for chunks that do not fit their digests, or the sizes of the disks */
function requireDisks({ disks }: VmManifest, key: string, objects: Objects): void {
  for (const { id, chunks, size_bytes, digest } of disks) {
    const list = chunks as ChunkList
    if (
      countOf(list) !== Math.ceil(size_bytes / chunkBytes) ||
      digestOf(list, size_bytes, objects.encryption) !== digest
    )
      throw new DamagedPack(`the chunks of disk ${id} in ${key} do not fit its digest`)
  }
}

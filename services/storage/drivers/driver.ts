import type { DiskSource } from '#shared/contracts/storage/disk-source.ts'
import type { GivenConfig, PoolConfig, PoolType } from '#shared/contracts/storage/pool-kinds.ts'
import type { Capabilities, VolumeFormat } from '#shared/contracts/storage/pools.ts'
import type { Host } from '#shared/nodes/host/host.ts'

/** The node on which a storage pool is prepared: its host, and the folders that Horcrux may use there. */
export type Site = { host: Host; folders: { allowed_paths: string[]; state_dir: string } }

/** The location of a storage pool. `nodes`: those that reach it, null for all. `place`: equal for two pools in one place. */
export type Location = { nodes: string[] | null; place: string }
export type Usage = { capacity_bytes: number; available_bytes: number }

export type VolumeName = { name: string; format: VolumeFormat }
export type VolumeSpec = VolumeName & { size_bytes: number }
/** An image to copy from, on the same host; `format` may be one that no volume has. */
export type Original = { source: DiskSource; format: string }
/** `accept`: an existing volume was made by an earlier try of the same request. */
export type IfExists = { ifExists: 'accept' | 'refuse' }
export type Copying = IfExists & { signal: AbortSignal; onProgress: (doneBytes: number) => void }

/**
 * A kind of storage pool. A driver gets a host and the pool's configuration, runs its tool and knows nothing else.
 * Every verb may be repeated. All throw UnavailableError when the host does not answer, and ConflictError with the
 * tool's words when it refuses.
 */
export type PoolDriver<K extends PoolType = PoolType> = {
  /** Checks a requested configuration and fills in defaults. @throws ValidationError */
  prepare(site: Site, id: string, given: GivenConfig<K>): Promise<PoolConfig<K>>
  /** Decided by the configuration alone; a requested one has its nodes too. */
  nodesOf(config: GivenConfig<K> | PoolConfig<K>): Location['nodes']
  placeOf(config: PoolConfig<K>): Location['place']
  capabilitiesOf(config: PoolConfig<K>): Capabilities
  /** Creates the storage pool, or finds it. @throws ConflictError when something else is in its place */
  create(host: Host, config: PoolConfig<K>): Promise<void>
  /** Removes the storage pool if nothing is in it. */
  remove(host: Host, config: PoolConfig<K>): Promise<void>
  /** @throws NotFoundError when the storage pool is not there */
  usage(host: Host, config: PoolConfig<K>): Promise<Usage>
  /** For kinds that hold disks. */
  volumes?: VolumeDriver<K>
}

/** The volumes of a storage pool. */
export type VolumeDriver<K extends PoolType = PoolType> = {
  /** True when anything is in the place of a volume, ours or not. */
  exists(host: Host, config: PoolConfig<K>, volume: VolumeName): Promise<boolean>
  /** The source of a volume on this host, also before it is made. */
  sourceOn(host: Host, config: PoolConfig<K>, volume: VolumeName): Promise<DiskSource>
  /** Makes an empty volume. @returns false, with nothing changed, when something else is in its place */
  create(host: Host, config: PoolConfig<K>, volume: VolumeSpec, how: IfExists): Promise<boolean>
  /** Sets the size; shrinking is never asked. */
  resize(host: Host, config: PoolConfig<K>, volume: VolumeSpec): Promise<void>
  /** A volume that is gone is fine. */
  delete(host: Host, config: PoolConfig<K>, volume: VolumeName): Promise<void>
  /**
   * Finds the volume that a source is, for adoption; null when it cannot be one of this pool.
   * @throws NotFoundError when it could be one but is not there
   */
  find?(host: Host, config: PoolConfig<K>, source: DiskSource): Promise<VolumeSpec | null>
  /** Lists the images that lie in the storage pool, with a record or not, and the files that can be no volumes. */
  list?(
    host: Host,
    config: PoolConfig<K>,
  ): Promise<{ found: VolumeSpec[]; skipped: { name: string; reason: string }[] }>
  copies?: CopyDriver<K>
  liveCopies?: LiveCopyDriver<K>
}

/** Copies of images into volumes. */
export type CopyDriver<K extends PoolType = PoolType> = {
  /** Bytes of data in an image; holes do not count. */
  dataBytes(host: Host, original: Original): Promise<number>
  /**
   * Makes a volume with the content of an image, independent of it. An aborted copy has stopped when this throws.
   * @returns as {@link VolumeDriver.create}
   */
  full(host: Host, original: Original, config: PoolConfig<K>, volume: VolumeSpec, copying: Copying): Promise<boolean>
  /** Makes a copy-on-write volume of an image that does not change any more. @returns as {@link VolumeDriver.create} */
  linked?(host: Host, original: Original, config: PoolConfig<K>, volume: VolumeSpec, how: IfExists): Promise<boolean>
}

/** Targets for a hypervisor that copies the disks of a running guest itself. `copy`: the id of the copy. */
export type LiveCopyDriver<K extends PoolType = PoolType> = {
  /** Bytes that the hypervisor writes into a target, for a disk with so many bytes of data. */
  bytesNeeded(volume: VolumeSpec, dataBytes: number): number
  /** Makes an empty image that is no volume yet, and removes those of earlier copies. @returns its source */
  open(host: Host, config: PoolConfig<K>, volume: VolumeSpec, copy: string): Promise<DiskSource>
  /** Makes it the volume. An existing volume is taken for it. */
  commit(host: Host, config: PoolConfig<K>, volume: VolumeSpec, copy: string): Promise<void>
}

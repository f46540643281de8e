import type { DiskSource } from '#shared/contracts/storage/disk-source.ts'
import type { GivenConfig, PoolConfig, PoolType, ShownConfig } from '#shared/contracts/storage/pool-kinds.ts'
import type { Capabilities, VolumeFormat } from '#shared/contracts/storage/pools.ts'
import type { LiveCopy } from '#shared/contracts/storage/volumes-internal.ts'
import type { Host } from '#shared/nodes/host/host.ts'
import type { ObjectDriver } from './objects.ts'

/** The node on which a storage pool is prepared: its host, and the folders that Horcrux may use there. */
export type Site = { host: Host; folders: { allowed_paths: string[]; state_dir: string } }

/** The location of a storage pool. `nodes`: those that reach it, null for all. `place`: equal for two pools in one place. */
export type Location = { nodes: string[] | null; place: string }

/**
 * Bytes of a storage pool or volume, each null where the kind cannot know it. `logical`: as guests see them. `referenced`:
 * taken by its data, shared or not. `exclusive`: of these, shared with nothing else. `freed_if_deleted`: given back by a
 * deletion. `reserved`: taken whether written or not. `source`: the tool that told.
 */
export type Figures = {
  logical_bytes: number | null
  referenced_bytes: number | null
  exclusive_bytes: number | null
  freed_if_deleted_bytes: number | null
  reserved_bytes: number | null
  source: string
}
export const unknownFigures = {
  logical_bytes: null,
  referenced_bytes: null,
  exclusive_bytes: null,
  freed_if_deleted_bytes: null,
  reserved_bytes: null,
} satisfies Partial<Figures>

/** Something that can become full: the space of a file system, the data or metadata of a thin pool, a quota. */
export type Fill = { name: 'space' | 'data' | 'metadata' | 'quota'; capacity_bytes: number; available_bytes: number }
/**
 * `capacity_bytes`, `available_bytes`: null where the kind cannot know them. `trouble`: words of the storage about itself, such as a lost device, while it still works.
 */
export type Usage = {
  capacity_bytes: number | null
  available_bytes: number | null
  fills: Fill[]
  figures: Figures
  trouble?: string
}

export type Detected = { format: VolumeFormat; size_bytes: number }

/** `head`: the driver's word for the state that guests write, once a snapshot was taken; null for the first. */
export type VolumeName = { name: string; format: VolumeFormat; head?: string | null | undefined }
export type VolumeSpec = VolumeName & { size_bytes: number }
/**
 * An image to copy from, on the same host; `format` may be one that no volume has. `volume`: its name when it is a volume
 * of the storage pool that the copy goes to. `tool`: given for an image without a path.
 */
export type Original = { source: DiskSource; format: string; volume?: VolumeName; tool?: ToolFile | undefined }
/** An image as tools of QEMU open it: the name is a path, or a `json:` description. `secret`: content of the secret file. */
export type ToolFile = { path: string; secret?: string | undefined }
/** `accept`: an existing volume was made by an earlier try of the same request. */
export type IfExists = { ifExists: 'accept' | 'refuse' }
/** `bytesPerSecond`: the fastest that bytes are copied. */
export type Copying = IfExists & {
  signal: AbortSignal
  onProgress: (doneBytes: number) => void
  bytesPerSecond?: number | undefined
}

/** A secret of libvirt, in its words; `secret` is in Base64. `label`: the word for the name of a secret of this usage. */
export type SecretOfDisks = { id: string; usage: string; label: 'name' | 'target'; name: string; secret: string }

/**
 * A kind of storage pool. A driver gets a host and the pool's configuration, runs its tool and knows nothing else.
 * Every verb may be repeated. All throw UnavailableError when the host does not answer, and ConflictError with the
 * tool's words when it refuses.
 */
export type PoolDriver<K extends PoolType = PoolType> = {
  /** Checks a requested configuration and fills in defaults. @throws ValidationError */
  prepare(site: Site, id: string, given: GivenConfig<K>): Promise<PoolConfig<K>>
  /** Decided by the configuration alone; a requested one has its nodes too. */
  nodesOf(config: GivenConfig<K> | ShownConfig<K>): Location['nodes']
  placeOf(config: ShownConfig<K>): Location['place']
  capabilitiesOf(config: ShownConfig<K>): Capabilities
  /**
   * Creates the storage pool, or finds it.
   * @returns its identity, as {@link PoolDriver.identify}. @throws ConflictError when something else is in its place
   */
  create(host: Host, config: PoolConfig<K>): Promise<string>
  /**
   * Reads the identity of the storage pool that is in its place, such as the marker of a folder or the guid of a dataset;
   * null when something without an identity is there. @throws NotFoundError when nothing is there
   */
  identify(host: Host, config: PoolConfig<K>): Promise<string | null>
  /** For kinds that a node must first mount or log in to. Called also when the identity is not found on a node. */
  activate?(host: Host, config: PoolConfig<K>): Promise<void>
  /** The reverse of `activate`. @throws ConflictError while it is used */
  deactivate?(host: Host, config: PoolConfig<K>): Promise<void>
  /** Removes the storage pool if nothing is in it. */
  remove(host: Host, config: PoolConfig<K>): Promise<void>
  /** @throws NotFoundError when the storage pool is not there */
  usage(host: Host, config: PoolConfig<K>): Promise<Usage>
  /** Tells the disk of this kind that a path on a host is, in a storage pool or not; null when it is of another kind. */
  detect?(host: Host, path: string): Promise<Detected | null>
  /** The secret that disk sources of this storage pool name, in Base64. */
  secretOf?(config: PoolConfig<K>): SecretOfDisks
  /** For kinds that hold disks. */
  volumes?: VolumeDriver<K>
  /** For kinds that hold objects, such as backups. */
  objects?: ObjectDriver<K>
}

/** The volumes of a storage pool. */
export type VolumeDriver<K extends PoolType = PoolType> = {
  /** True when anything is in the place of a volume, ours or not. */
  exists(host: Host, config: PoolConfig<K>, volume: VolumeName): Promise<boolean>
  /** The source of a volume on this host, also before it is made. A pure function of the configuration where it can be. */
  sourceOn(host: Host, config: PoolConfig<K>, volume: VolumeName): Promise<DiskSource>
  /**
   * For volumes without a path: the image as tools of QEMU open it.
   * @param secretFile from which they read the secret
   */
  toolFile?(config: PoolConfig<K>, volume: VolumeName, secretFile: string): ToolFile
  /** Makes an empty volume. @returns false, with nothing changed, when something else is in its place */
  create(host: Host, config: PoolConfig<K>, volume: VolumeSpec, how: IfExists): Promise<boolean>
  /** Sets the size; shrinking is never asked. */
  resize(host: Host, config: PoolConfig<K>, volume: VolumeSpec): Promise<void>
  /** Makes the source of a volume usable on this host, before a guest starts; for kinds whose devices come and go. */
  activate?(host: Host, config: PoolConfig<K>, volume: VolumeName): Promise<void>
  /** @throws NotFoundError when the volume is not there */
  usage(host: Host, config: PoolConfig<K>, volume: VolumeName): Promise<Figures>
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
  snapshots?: SnapshotDriver<K>
  unfinished?: UnfinishedDriver<K>
}

/** Images that were being made, and are in no place of a volume: those of an operation that has ended are leftovers. */
export type UnfinishedDriver<K extends PoolType = PoolType> = {
  list(host: Host, config: PoolConfig<K>): Promise<{ name: string; operation: string }[]>
  /** One that is gone is fine. */
  remove(host: Host, config: PoolConfig<K>, name: string): Promise<void>
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
  /** Makes an empty image that is no volume yet, under a name of the try, and removes those of earlier tries. */
  open(host: Host, config: PoolConfig<K>, volume: VolumeSpec, copy: string): Promise<LiveCopy>
  /** Makes it the volume; may be repeated. @throws ConflictError when it is not the image that was opened */
  commit(host: Host, config: PoolConfig<K>, volume: VolumeSpec, filled: LiveCopy): Promise<void>
}

/** A state of a volume that a guest can write, in its place or aside. */
export type Head = { head: string | null; format: VolumeFormat; size_bytes: number }
/**
 * A snapshot of one volume. `native`: the driver's identity of it, such as a guid, a snap id or a file, opaque to others.
 * `hasClones`: linked clones in other volumes read from it.
 */
export type VolumeSnapshot = { id: string; native: string; hasClones: boolean }
export type Taken = { native: string; head: Head }
/** A volume with the head in its place, all its snapshots, and heads aside that are kept for an undo. */
export type Family = {
  volume: VolumeSpec
  /** Linked clones in other volumes read from the head in place. */
  hasClones: boolean
  snapshots: VolumeSnapshot[]
  keptHeads: string[]
}

export type Foreseen = {
  /** Bytes that must be free now; guests take more when they write. */
  needed_bytes: number
  /** Reasons against, each with the way out. */
  obstacles: { volume: string; reason: string }[]
  /** Bytes that a snapshot holds as soon as it is taken, by the names of volumes; none where it is left out. */
  held?: ReadonlyMap<string, number>
}

/** Cost of a deletion, and the obstacle to it. */
export type Deletion = {
  /** The driver's own words for it. They are recorded, so that a repeated `delete` does the same. */
  plan: string
  /** Bytes that are copied; 0 where nothing is. */
  bytes: number
  /** The reason that it is impossible now, with the way out. */
  obstacle: string | null
  /** For a guest that runs: its hypervisor first moves the content of `top` into `base`. */
  merge: { top: DiskSource; base: DiskSource } | null
}

/** Identities after a deletion. `leftover`: is discarded once these are recorded. */
export type Deleted = { snapshots: Pick<VolumeSnapshot, 'id' | 'native'>[]; head: Head; leftover: string | null }
/** `isMerged`: the hypervisor has moved `top` into `base`. */
export type Deleting = {
  plan: string
  isMerged: boolean
  signal: AbortSignal
  onProgress: (doneBytes: number) => void
}

/** Bytes of a snapshot; null where the storage cannot tell. `freed_bytes`: those that its deletion alone gives back. */
export type SnapshotUsage = { id: string; held_bytes: number | null; freed_bytes: number | null }

/**
 * Snapshots of volumes. They are found by their identity, never by the beginning of a name. No verb changes the content
 * of another snapshot, head or linked clone: a restore is a new head, and the former one stays until it is discarded.
 */
export type SnapshotDriver<K extends PoolType = PoolType> = {
  /**
   * `storage`: `take` is the moment, and the guest is paused or off during it. `hypervisor`: `take` makes empty heads, and
   * the moment is when the hypervisor of a running guest switches to all of them at once.
   */
  moment: 'storage' | 'hypervisor'
  /** Checks that snapshots of these volumes are possible, without effects. */
  foresee(host: Host, config: PoolConfig<K>, volumes: VolumeSpec[]): Promise<Foreseen>
  /**
   * Takes snapshots of volumes at one moment, of all or none. Repeated with the same id, it finds them.
   * @returns them in the order of the volumes, with the head that each volume has from then on
   */
  take(host: Host, config: PoolConfig<K>, volumes: VolumeSpec[], id: string): Promise<Taken[]>
  /** Makes a head aside from a snapshot; the volume stays as it is. Repeated with the same id, it finds the head. */
  open(host: Host, config: PoolConfig<K>, volume: VolumeSpec, from: VolumeSnapshot, id: string): Promise<Head>
  /**
   * Puts a head that is aside in the place of the volume; the one that was there is aside then, under the name that it has
   * in `volume`. The guest is off. Repeating it is fine, and so is swapping back.
   */
  swap(host: Host, config: PoolConfig<K>, volume: VolumeSpec, to: Head): Promise<void>
  /** Deletes a head that is aside, or the leftover of a deletion; one that is gone is fine. */
  discard(host: Host, config: PoolConfig<K>, volume: VolumeSpec, head: string | null): Promise<void>
  /** Foretells the deletion of a snapshot. @param isRunning a guest has the volume open */
  foreseeDeletion(host: Host, config: PoolConfig<K>, family: Family, id: string, isRunning: boolean): Promise<Deletion>
  /** Deletes a snapshot as it was foretold without an obstacle; one that is gone is fine. */
  delete(host: Host, config: PoolConfig<K>, family: Family, id: string, how: Deleting): Promise<Deleted>
  /** Deletes a volume with all its snapshots and heads; those that are gone are fine. No linked clone reads from them. */
  deleteAll(host: Host, config: PoolConfig<K>, family: Family): Promise<void>
  /** Native identities of all snapshots and heads that the storage has of a volume, with a record or not. */
  list(host: Host, config: PoolConfig<K>, volume: VolumeSpec): Promise<string[]>
  usage(host: Host, config: PoolConfig<K>, family: Family): Promise<SnapshotUsage[]>
  /** The content of a snapshot as an image to read from. */
  original(host: Host, config: PoolConfig<K>, volume: VolumeSpec, of: VolumeSnapshot): Promise<Original>
  /** Makes a copy-on-write volume of a snapshot. @returns as {@link VolumeDriver.create} */
  clone?(
    host: Host,
    config: PoolConfig<K>,
    from: { volume: VolumeSpec; snapshot: VolumeSnapshot },
    volume: VolumeSpec,
    how: IfExists,
  ): Promise<boolean>
}

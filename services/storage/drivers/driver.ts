import type { Capabilities, VolumeFormat } from '#shared/contracts/storage/pools.ts'
import type { Host } from '#shared/nodes/host/host.ts'

/** What a driver is given of a pool: where it is on its host. */
export type PoolPlace = { path: string }
export type Usage = { capacity_bytes: number; available_bytes: number }
/** A volume or another image that is copied, where its host finds it. */
export type Origin = { path: string; format: string }
export type Copying = Again & { signal: AbortSignal; onProgress: (doneBytes: number) => void }
/** Whether a volume that is in its place already is what was asked for: it has been made before. */
export type Again = { again: boolean }
export type VolumeSpec = { name: string; format: VolumeFormat; size_bytes: number }

/** Volumes whose bytes somebody else writes: the hypervisor of a guest that runs. */
export type Receive = {
  /** Makes an empty image beside the volume's place, in the place of those that earlier copies have left. @returns its path */
  open: (host: Host, pool: PoolPlace, volume: VolumeSpec, copy: string) => Promise<string>
  /** Puts it in the volume's place. What is there already is taken for it. */
  place: (host: Host, pool: PoolPlace, volume: VolumeSpec, copy: string) => Promise<void>
}

/**
 * A kind of storage. It knows its tool and nothing else; every verb bears being run twice. All throw UnavailableError
 * when the host does not answer, and ConflictError with the tool's own words when the tool refuses.
 */
export type PoolDriver = {
  capabilities: Capabilities
  /** Makes the pool, or finds it there. @throws ConflictError when something else is in its place */
  create: (host: Host, pool: PoolPlace) => Promise<void>
  /** Removes the pool if it holds nothing. */
  remove: (host: Host, pool: PoolPlace) => Promise<void>
  /** @throws NotFoundError when the pool is not there */
  usage: (host: Host, pool: PoolPlace) => Promise<Usage>
  /** Where a volume of this name and format is, whether it is there or not. */
  pathOf: (pool: PoolPlace, volume: Pick<VolumeSpec, 'name' | 'format'>) => string
  /**
   * Makes a volume aside and puts it in its place, where nothing may be; `again`: one that is there with the same size
   * is it. @returns false, with nothing changed, when something else is in its place
   */
  createVolume: (host: Host, pool: PoolPlace, volume: VolumeSpec, how: Again) => Promise<boolean>
  /** The volume that a path is; null for what cannot be one of this pool. @throws NotFoundError when it is not there */
  volumeAt?: (host: Host, pool: PoolPlace, path: string) => Promise<VolumeSpec | null>
  resizeVolume: (host: Host, pool: PoolPlace, volume: VolumeSpec) => Promise<void>
  /** A volume that is gone is fine. */
  deleteVolume: (host: Host, pool: PoolPlace, volume: Pick<VolumeSpec, 'name' | 'format'>) => Promise<void>
  /** Where volumes can be copied. */
  clone?: {
    /** Bytes of data in it: what is empty is not copied. */
    dataBytes: (host: Host, source: Origin) => Promise<number>
    /**
     * Makes a volume that has the source's content and nothing in common with it. The source may lie in another pool of
     * the host. Aborted, it has stopped copying when it throws.
     * @returns false, with nothing changed, when something else is in its place
     */
    full: (host: Host, source: Origin, pool: PoolPlace, volume: VolumeSpec, copying: Copying) => Promise<boolean>
    /**
     * Makes a volume that reads from the source what was never written to it; the source must not change any more.
     * @returns as `full`
     */
    linked?: (host: Host, source: Origin, pool: PoolPlace, volume: VolumeSpec, how: Again) => Promise<boolean>
    receive?: Receive
  }
}

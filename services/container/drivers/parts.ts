import type { Readable } from 'node:stream'
import type { ImageSettings } from '#shared/contracts/container/saved-container.ts'
import type { Violation } from '#shared/errors.ts'
import type { Reached } from '#shared/nodes/nodes.ts'
import type { Definition, Ref } from './definition.ts'
import type { ArchiveSource } from './files.ts'

/** An image, as its engine lists it. */
export type ListedImage = {
  engine_id: string
  /** Names that it is found by. */
  tags: string[]
  size_bytes: number
  created_at: string
  /** Containers that are made of it, by their engine's ids. */
  users: string[]
}

/** A name and a password for a registry. Never in a message. */
export type Credentials = { username: string; password: string }

/** A server of images. `certificate`: the SHA-256 of the only one that is accepted; null: the authorities of the node decide. */
export type ImageServer = { url: string; protocol: 'simplestreams' | 'engine'; certificate: string | null }

/** Origin of a pull: the name of an image names its registry, never its image server. */
export type Origin = { credentials: Credentials | null; server: ImageServer | null }

/** The bytes of a file on the node. */
export type Archive = { source: Readable; bytes: number }

/** `image`: the engine's own archive with names and settings. `rootfs`: a tar archive of a root file system. */
export type ArchiveKind = 'image' | 'rootfs'

type Progress = (done: number, total: number, unit: 'bytes' | 'steps') => void
/** Ends work when it is aborted, and hears of its progress. */
export type Watching = { signal: AbortSignal; progress: Progress }

/** Images of an engine. Repeating each verb is harmless. */
export type Images = {
  /** A name in full, such as with its tag. */
  nameOf: (name: string) => string
  list: (reached: Reached) => Promise<ListedImage[]>
  /** The engine's id of the image that a name means, or null. */
  find: (reached: Reached, name: string) => Promise<string | null>
  /** Removes an image with all its names. @throws ConflictError when a container is made of it */
  remove: (reached: Reached, engineId: string) => Promise<void>
  /** Gives a name to an image, also one that another image has. */
  tag: (reached: Reached, engineId: string, name: string) => Promise<void>
  /** Takes a name away; an image without a name goes, unless a container is made of it. */
  untag: (reached: Reached, name: string) => Promise<void>
  /** The names in an archive of an image on the node; null for a file that is none. */
  namesIn: (reached: Reached, path: string) => Promise<string[] | null>
  /** Makes an image of an archive. @param name null: the names in the archive. @returns the engine's id */
  load: (reached: Reached, kind: ArchiveKind, archive: Archive, name: string | null, how: Watching) => Promise<string>
  /** Reads an image as an archive that `load` takes. @throws ConflictError for one that the engine keeps in other files */
  export: (reached: Reached, engineId: string) => Promise<ArchiveSource>
  /** The kind of origin that `pull` needs: a registry, or an image server. */
  pullsFrom: 'registry' | 'server'
  /** Pulls an image, and gives it the name. @returns the engine's id */
  pull: (reached: Reached, name: string, origin: Origin, how: Watching) => Promise<string>
}

/**
 * Makes containers of the root file system of a backup. `image`: by an image that is made of it first. `container`: at once,
 * by an engine without images.
 */
export type Base =
  | {
      kind: 'image'
      /** Makes an image of a tar archive, with the settings that containers of it begin with. @returns the engine's id */
      load: (
        reached: Reached,
        archive: Archive,
        name: string,
        settings: ImageSettings | null,
        how: Watching,
      ) => Promise<string>
      /** Removes the image after its container was made, unless containers need it; one that is gone is fine. */
      tidy: (reached: Reached, name: string) => Promise<void>
    }
  | {
      kind: 'container'
      create: (definition: Definition, archive: Readable) => Promise<string>
      /** Unpacks an archive beside the root file system of a container. */
      putBeside: (ref: Ref, archive: Readable) => Promise<void>
      /** Puts it in the place of the present one, which is kept. The container is off. */
      swap: (ref: Ref) => Promise<void>
      /** Puts the kept one back. */
      swapBack: (ref: Ref) => Promise<void>
      /** Removes the one that is not in its place. */
      removeOther: (ref: Ref) => Promise<void>
    }

/** Root file systems as tar archives with the users that the container has, for backups. */
export type RootFiles = {
  /** Reads it, also while the container runs. The same files are the same bytes each time. */
  read: (ref: Ref) => Promise<ArchiveSource>
  /** The settings of its image, and the variables that are its own; null: all that the container has. */
  settings: (ref: Ref) => Promise<{ settings: ImageSettings | null; env: Record<string, string> | null }>
  /** `Files` reads and writes volumes also of a container that does not run. */
  hasVolumes: boolean
  base: Base
}

/** Fields that a container can be made again with; undefined leaves one as it is. */
export type Changes = Partial<
  Pick<Definition, 'image' | 'command' | 'env' | 'labels' | 'mounts' | 'ports' | 'restart_policy' | 'health_check'>
>

/** Makes containers again with other settings, beside the old one. */
export type Recreation = {
  /** Reasons against it, all at once. @throws ConflictError for a container that would be lost by it */
  check: (ref: Ref, changes: Changes) => Promise<Violation[]>
  /**
   * Makes a container of the settings of another one, with its volumes and networks. The old one is stopped and has
   * another name by now. Finds its own half-made one. @returns the engine's full id
   */
  create: (old: Ref, name: string, changes: Changes) => Promise<string>
}

/** A snapshot, as its engine lists it. */
export type ListedSnapshot = { name: string; size_bytes: number | null; created_at: string }

/** Snapshots of the root file system. Repeating each verb is harmless. */
export type Snapshots = {
  /** They are made and restored of stopped containers only. */
  onlyStopped: boolean
  list: (ref: Ref) => Promise<ListedSnapshot[]>
  create: (ref: Ref, name: string) => Promise<void>
  restore: (ref: Ref, name: string) => Promise<void>
  remove: (ref: Ref, name: string) => Promise<void>
}

/** The new container that a copy becomes, without the ports of the first one. */
export type Copy = Pick<Definition, 'id' | 'name'> & {
  /** A snapshot to copy; null: the container as it is. */
  snapshot: string | null
}

export type Copying = {
  /** A copy is made of a stopped container only. */
  onlyStopped: boolean
  /** Finds its own half-made copy. @returns the engine's id of it */
  create: (ref: Ref, copy: Copy) => Promise<string>
  /** Removes what a copy leaves besides its container. */
  tidy: (ref: Ref, copy: Copy) => Promise<void>
}

export type Committing = {
  /** An image is made of a stopped container only. */
  onlyStopped: boolean
  /** Makes an image without a name of a container, or finds the one with this mark. @returns the engine's id of it */
  commit: (ref: Ref, mark: string) => Promise<string>
  /** Removes the image with this mark. */
  undo: (ref: Ref, mark: string) => Promise<void>
}

/** A Compose project of a node, and the folder of the node with its lock. */
export type Composed = { project: string; document: string; folder: string }

/** Volumes and networks of a project, by the engine's names. */
export type Owned = { volumes: string[]; networks: string[] }

/** Compose on a node, with this engine. Repeating each verb is harmless; a second run waits for the end of the first. */
export type Composing = {
  /** True for a node that has Compose. */
  isThere: (reached: Reached) => Promise<boolean>
  /** Brings the engine to the document: makes, makes anew, starts and removes. @throws ConflictError with Compose's words */
  up: (reached: Reached, composed: Composed, how: { graceSeconds: number; signal?: AbortSignal }) => Promise<void>
  /** Removes containers and networks, and with `volumes` the volumes of the document. @throws ConflictError */
  down: (reached: Reached, composed: Composed, how: { graceSeconds: number; volumes: boolean }) => Promise<void>
  /** Volumes and networks that carry the name of the project. */
  owned: (reached: Reached, project: string) => Promise<Owned>
  removeVolumes: (reached: Reached, names: string[]) => Promise<void>
}

import type { Container } from '#shared/contracts/container/containers.ts'
import type { ContainerStatus, Limits } from '#shared/contracts/container/parts.ts'
import type { Violation } from '#shared/errors.ts'
import type { Engine } from '#shared/nodes/engine.ts'
import type { Reached } from '#shared/nodes/nodes.ts'
import type { ArchiveSource, Files } from './files.ts'
import type { Definition, Ref } from './definition.ts'
import type { ConsoleLog, TimedLogs } from './log-lines.ts'
import type { Committing, Composing, Copying, Images, Recreation, RootFiles, Snapshots } from './parts.ts'
import type { Command, Process } from './process.ts'

export { type Definition, idLabel, type Ref } from './definition.ts'

/** The name of a field of a new container that an engine may not have. */
export type Field = keyof Pick<
  Definition,
  'image' | 'rootfs' | 'command' | 'env' | 'mounts' | 'ports' | 'restart_policy' | 'health_check' | 'privileged'
>

/** A container as one list of the engine has it. */
export type Listed = { engine_id: string; name: string; status: ContainerStatus; labels: Record<string, string> }

/** A container as its engine describes it; limits as its configuration has them. */
export type Seen = Pick<
  Container,
  | 'name'
  | 'engine_id'
  | 'image'
  | 'command'
  | 'env'
  | 'labels'
  | 'memory'
  | 'cpus'
  | 'pids'
  | 'mounts'
  | 'ports'
  | 'networks'
  | 'pid'
  | 'restart_policy'
  | 'health_check'
  | 'health'
  | 'privileged'
  | 'status'
  | 'status_reason'
  | 'exit_code'
  | 'created_at'
> & {
  /** The engine says that the first process of the last run was killed for lack of memory; others do not tell. */
  oom_killed?: boolean
}

/** An event of a container, or of the connection to the engine. */
export type News =
  /** This container was made, changed or removed. */
  | { kind: 'container'; engineId: string; change: string }
  /** Events arrive from now on. Those of before may be missing: read the full list. */
  | { kind: 'connected' }
  | { kind: 'disconnected'; error: Error }

/**
 * A container engine. Each verb may be repeated: a container that is already so, or is gone, is no error, but for `start`.
 * All throw UnavailableError when the engine does not answer.
 */
export type ContainerEngine = {
  /** The engine of a node that this driver works through. */
  engineOf: (reached: Reached) => Engine
  /** The fields of a new container that the engine does not have, each with the reason. */
  lacks: Partial<Record<Field, string>>
  /** The engine knows users of a container by their number only. */
  usersAreNumbers: boolean
  /** The engine's own rule for names, beside that of the contract. */
  nameRule: { pattern: RegExp; message: string }

  /** @returns everything that the engine lacks for such a container, at once */
  check: (reached: Reached, definition: Definition) => Promise<Violation[]>
  /** All containers of a node, in one question however many they are. */
  list: (reached: Reached) => Promise<Listed[]>
  /** @returns null for a container that is gone */
  look: (ref: Pick<Ref, 'node' | 'engine_id'>) => Promise<Seen | null>
  /** Finds its own half-made container by the label with the record's id. @returns the engine's full id */
  create: (definition: Definition) => Promise<string>
  /** Kills a container that runs. @param how.volumes with its anonymous volumes */
  remove: (ref: Ref, how: { volumes: boolean }) => Promise<void>
  /** @throws NotFoundError when it is gone */
  start: (ref: Ref) => Promise<void>
  /** Also from paused: it runs on, with the kill pending. Kills it after the grace. */
  stop: (ref: Ref, how: { graceSeconds: number }) => Promise<void>
  pause: (ref: Ref) => Promise<void>
  resume: (ref: Ref) => Promise<void>
  limits: {
    /** Changes limits: at once for a container that runs, and for its next start. */
    change: (ref: Ref, wanted: Partial<Limits>) => Promise<void>
    /** Limits that can be changed and not taken away. */
    keeps: readonly (keyof Limits)[]
    /** The engine forgets changed limits when the container stops: they are set again after each start. */
    areForgotten: boolean
  }
  /** Lines with times, or the text of a console without times; undefined for an engine that keeps neither. */
  logs?: TimedLogs | ConsoleLog
  /** Undefined for an engine without images. */
  images?: Images
  /** Bytes that a container has written over its image; undefined for an engine that does not tell. */
  writtenBytes?: (ref: Ref) => Promise<number | null>
  /** Undefined where the name is the identity. */
  rename?: { to: (ref: Ref, name: string) => Promise<void>; onlyStopped: boolean }
  /** Undefined where a container cannot be put aside. */
  recreation?: Recreation
  snapshots?: Snapshots
  copying?: Copying
  /** Undefined for an engine whose containers are not backed up. */
  rootFiles?: RootFiles
  committing?: Committing
  /** Undefined for an engine that Compose does not drive. */
  composing?: Composing
  /** Runs a command in a container that runs. @throws ConflictError, NotFoundError when it does not */
  exec: (ref: Ref, what: Command) => Promise<Process>
  /**
   * Attaches to the first process of a container, or to its console. Closing it leaves the container as it is.
   * @throws ConflictError when somebody else has a console that only one can have
   */
  attach: (ref: Ref, hasInput: boolean) => Promise<Process>
  files: Files<Ref>
  /** Reads the whole container, also one that is stopped: its root file system, or a backup in the engine's form. */
  export: (ref: Ref) => Promise<ArchiveSource>
  /** Subscribes to the events of a node. @returns a function that ends it */
  events: (reached: Reached, listener: (news: News) => void) => () => void
}

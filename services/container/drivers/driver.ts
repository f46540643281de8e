import type { Container } from '#shared/contracts/container/containers.ts'
import type { ContainerStatus, HealthCheck, Limits, NewMount } from '#shared/contracts/container/parts.ts'
import type { Violation } from '#shared/errors.ts'
import type { Engine } from '#shared/nodes/engine.ts'
import type { Reached } from '#shared/nodes/nodes.ts'
import type { Files } from './files.ts'
import type { ConsoleLog, TimedLogs } from './log-lines.ts'
import type { Command, Process } from './process.ts'

/** A container, as its engine finds it. */
export type Ref = Pick<Container, 'id' | 'name' | 'node' | 'engine_id'>

/** All that a new container is made of. Host paths are real paths that are allowed. */
export type Definition = Pick<
  Container,
  | 'id'
  | 'name'
  | 'node'
  | 'image'
  | 'rootfs'
  | 'env'
  | 'labels'
  | 'memory'
  | 'cpus'
  | 'pids'
  | 'ports'
  | 'restart_policy'
> & {
  /** Empty: the one of the image. */
  command: string[]
  mounts: NewMount[]
  health_check: HealthCheck | null
}

/** The name of a field of a new container that an engine may not have. */
export type Field = keyof Pick<
  Definition,
  'image' | 'rootfs' | 'command' | 'env' | 'mounts' | 'ports' | 'restart_policy' | 'health_check'
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
>

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
  /** Undefined where the name is the identity. */
  rename?: { to: (ref: Ref, name: string) => Promise<void>; onlyStopped: boolean }
  /** Runs a command in a container that runs. @throws ConflictError, NotFoundError when it does not */
  exec: (ref: Ref, what: Command) => Promise<Process>
  /**
   * Attaches to the first process of a container, or to its console. Closing it leaves the container as it is.
   * @throws ConflictError when somebody else has a console that only one can have
   */
  attach: (ref: Ref, hasInput: boolean) => Promise<Process>
  files: Files<Ref>
  /** Subscribes to the events of a node. @returns a function that ends it */
  events: (reached: Reached, listener: (news: News) => void) => () => void
}

/** The label that names the record of a container that Horcrux has made. */
export const idLabel = 'horcrux.id'

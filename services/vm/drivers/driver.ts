import type { Disk } from '#shared/contracts/vm/hardware.ts'
import type { ShutdownMode, VmStatus } from '#shared/contracts/vm/vms.ts'
import type { Violation } from '#shared/errors.ts'
import type { Engine } from '#shared/nodes/engine.ts'
import type { Reached } from '#shared/nodes/nodes.ts'
import type { VmRecord } from '../model.ts'
import type { Definition, Described, Guest } from './guest.ts'
import type { Parts } from './parts.ts'

/** Values for a new guest that does not say them. */
export type Defaults = Pick<VmRecord, 'accel' | 'cpu_model' | 'firmware' | 'graphics' | 'video'>

export type Status = { status: VmStatus; status_reason: string | null }

/** An event of a guest, or of the connection to the hypervisor. */
export type HypervisorEvent =
  /** The status of this guest may be another one. */
  | { kind: 'guest'; handle: string }
  /** The definition of this guest may be another one. */
  | { kind: 'changed'; handle: string }
  /** Events arrive from now on. Those of before may be missing: read all statuses again. */
  | { kind: 'connected' }
  | { kind: 'disconnected'; error: Error }

/** Names that a hypervisor gives, by computation alone. */
export type Naming = {
  /** The handle of a new guest, from the VM's id. */
  handleOf: (id: string) => string
  /** The place of one more disk beside others, such as `vda`; null when this bus has none left. */
  nextPlace: (used: string[], bus: Disk['bus']) => string | null
}

/**
 * A hypervisor: ten verbs that each has, and optional parts. Each verb may be repeated: a guest that is already so, or is
 * gone, is no error, but for `start`. All throw UnavailableError when the engine does not answer.
 */
export type Hypervisor = Parts & {
  naming: Naming
  /** The engine of a node that this hypervisor works through. */
  engineOf: (reached: Reached) => Engine

  defaults: (reached: Reached, guest: Pick<Described, 'architecture'>) => Promise<Defaults>
  /** @returns everything that a node lacks for such a guest, at once */
  check: (reached: Reached, guest: Described) => Promise<Violation[]>
  /** Writes the host's definition of a guest. A running guest takes the rest at its next start. */
  define: (definition: Definition) => Promise<void>
  /** Switches a guest off and removes its definition, with all that the host keeps of it but its disks. */
  undefine: (guest: Guest) => Promise<void>
  /** @throws NotFoundError when the host has no definition of it */
  start: (guest: Guest) => Promise<void>
  /** Switches a guest off. */
  stop: (guest: Guest) => Promise<void>
  /** Asks the guest to shut down, and does not wait for it. @throws ConflictError when it cannot be asked in this mode */
  shutdown: (guest: Guest, mode?: ShutdownMode) => Promise<void>
  status: (guest: Guest) => Promise<Status>
  /** The statuses of all guests of a node by handle, in one question however many they are. */
  statuses: (reached: Reached) => Promise<Map<string, Status>>
  /** Subscribes to the events of a node. @returns a function that ends it */
  events: (reached: Reached, listener: (event: HypervisorEvent) => void) => () => void
}

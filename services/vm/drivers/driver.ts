import type { Result } from '#shared/contract.ts'
import type { ConsoleType, Endpoint } from '#shared/contracts/consoles.ts'
import type { VmStatus, vms } from '#shared/contracts/vms.ts'
import type { Reached } from '#shared/nodes.ts'
import type { VmRecord } from '../model.ts'

/** A guest, as far as its host needs to know to find it. */
export type Guest = Pick<VmRecord, 'id' | 'name' | 'node' | 'domain_uuid'>

/** What a guest is made of. */
export type Definition = Guest &
  Pick<
    VmRecord,
    'memory' | 'cpus' | 'disks' | 'nics' | 'iso' | 'boot' | 'firmware' | 'graphics' | 'video' | 'accel' | 'architecture'
  >

export type Seen = { status: VmStatus; status_reason: string | null }

/** What a hypervisor tells of a node, unasked. */
export type News =
  /** Something happened to this guest: look at it. */
  | { kind: 'guest'; domain_uuid: string }
  /** News come from now on; what happened before is unknown: look at all. */
  | { kind: 'connected' }
  | { kind: 'disconnected'; error: Error }

export type Stats = Pick<
  Result<typeof vms, 'stats'>,
  'cpu_time_ns' | 'memory_mib' | 'memory_rss_mib' | 'disks' | 'nics'
>

export type Consoles = {
  /** Where a console of a guest that runs is on its node now. @throws ConflictError when the guest has no such console */
  find: (guest: Guest, type: ConsoleType) => Promise<Endpoint>
}

/**
 * A hypervisor. What it does to a guest may be done twice: what is already so is fine, and so is a guest that is gone,
 * except where it is to run. A host that does not answer is an UnavailableError.
 */
export type Hypervisor = {
  /** Has the host know the guest as it is described. What a running one cannot take is for its next start. */
  define: (vm: Definition) => Promise<void>
  isDefined: (guest: Guest) => Promise<boolean>
  /** Makes the host forget a guest, switched off first, with all that it keeps of it but its disks. */
  undefine: (guest: Guest) => Promise<void>
  /** @throws NotFoundError when the host does not know it */
  start: (guest: Guest) => Promise<void>
  stop: (guest: Guest) => Promise<void>
  /** Asks the guest to shut down, and does not wait for it. */
  askToStop: (guest: Guest) => Promise<void>
  act: Record<'reset' | 'pause' | 'resume', (guest: Guest) => Promise<void>>
  look: (guest: Guest) => Promise<Seen>
  /** All guests of a node by `domain_uuid`, in one question however many they are. */
  lookAtAll: (reached: Reached) => Promise<Map<string, Seen>>
  /** @returns a function that ends it */
  follow: (reached: Reached, heard: (news: News) => void) => () => void
  isConnected: (reached: Reached) => boolean
  /** The counters of a guest; null where there is nothing to count. */
  stats: (guest: Guest) => Promise<Stats>
  /** The end of what a guest wrote to its serial console; nothing for one that never ran. */
  serialText: (guest: Guest) => Promise<string>
  /** Consoles, where the hypervisor has any that can be reached from outside. */
  consoles?: Consoles
}

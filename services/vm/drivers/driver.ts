import type { Result } from '#shared/contract/contract.ts'
import type { ConsoleType, Endpoint } from '#shared/contracts/vm/consoles.ts'
import type { Disk, Nic } from '#shared/contracts/vm/hardware.ts'
import type { AgentView } from '#shared/contracts/vm/guests.ts'
import type { VmStatus, vms } from '#shared/contracts/vm/vms.ts'
import type { Violation } from '#shared/errors.ts'
import type { Reached } from '#shared/nodes/nodes.ts'
import type { VmRecord } from '../model.ts'

/** A guest, as far as its host needs to know to find it. */
export type Guest = Pick<VmRecord, 'id' | 'name' | 'node' | 'domain_uuid'>

/** What a guest is made of, as far as a node must have it. */
export type Described = Pick<
  VmRecord,
  | 'name'
  | 'boot'
  | 'architecture'
  | 'firmware'
  | 'balloon'
  | 'cpu_model'
  | 'cpus'
  | 'max_cpus'
  | 'topology'
  | 'boot_order'
  | 'graphics'
  | 'video'
  | 'disks'
  | 'nics'
>

/** What a guest is made of. */
export type Definition = Guest & Described & Pick<VmRecord, 'memory' | 'autostart' | 'iso' | 'seed' | 'accel'>

/** What suits a node, for a guest that does not say it. */
export type Suitable = Pick<VmRecord, 'accel' | 'cpu_model' | 'firmware' | 'graphics' | 'video'>

/** What can be changed behind our back. */
export type Sizes = Pick<VmRecord, 'memory' | 'balloon' | 'cpus' | 'max_cpus'>

/** A guest of a node, whether Horcrux manages it or not. */
export type Present = Result<typeof vms, 'unmanaged'>['data'][number]

/** A guest that is there, as a record would describe it; its disks are known by their paths. */
export type Adoptable = Present &
  Omit<Definition, keyof Guest> &
  Pick<VmRecord, 'description'> & { marked_id: string | null; violations: Violation[] }

/** Taking over guests that are there already, for a hypervisor that can. */
export type Adoption = {
  list: (reached: Reached) => Promise<Present[]>
  /** @param domain its UUID or name. @returns null when there is none */
  find: (reached: Reached, domain: string) => Promise<Adoptable | null>
  /** Leaves the guest as it is and takes only our mark away; one that is gone is fine. */
  letGo: (guest: Guest) => Promise<void>
}

export type Seen = { status: VmStatus; status_reason: string | null }

/** What a hypervisor tells of a node, unasked. */
export type News =
  /** Something happened to this guest: look at it. */
  | { kind: 'guest'; domain_uuid: string }
  /** What this guest is made of may be different now. */
  | { kind: 'changed'; domain_uuid: string }
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

/** How a guest is asked to shut down: by its power button, or by the agent in it. */
export type Ask = 'acpi' | 'agent'

export type Device = { disk: Disk } | { nic: Nic }

/** Devices of a guest that runs, beside its definition. */
export type Devices = {
  /** Gives it a device that its definition has; one that it has is fine. @throws ConflictError when it cannot take it */
  plug: (guest: Guest, device: Device) => Promise<void>
  /** Takes a device away; one that is gone is fine. @returns false when the guest has not let go of it in time */
  unplug: (guest: Guest, device: Device, timeoutMs: number, signal?: AbortSignal) => Promise<boolean>
  /** Grows a disk that it runs with, bytes and all. */
  grow: (guest: Guest, disk: Disk, bytes: number) => Promise<void>
}

/** A disk of a guest, and the empty image of the same size that it is copied to. */
export type CopyTarget = { disk: string; path: string; format: Disk['format'] }

/**
 * Copies of the disks of a guest that runs, all as they are at one moment, while it runs on. A guest has one at a time; the
 * hypervisor goes on with it whoever has begun it. It is known by a word that the paths of all its images have.
 */
export type Copies = {
  /** The copy is of this moment. @throws ConflictError when the guest does not run, or is being copied */
  begin: (guest: Guest, targets: CopyTarget[]) => Promise<void>
  isUnderWay: (guest: Guest, copy: string) => Promise<boolean>
  /**
   * Waits for its end. @returns whether it is known to be whole; not so when the hypervisor does not remember its end
   * @throws ConflictError when it has failed
   */
  wait: (guest: Guest, copy: string, how: Copying) => Promise<boolean>
  /** Ends it; one that is not under way is fine. Nobody writes into its images from then on. */
  abort: (guest: Guest, copy: string) => Promise<void>
}
export type Copying = { signal: AbortSignal; onProgress: (doneBytes: number, totalBytes: number) => void }

/** A command in the protocol of QEMU's monitor, which is that of its guest agent too. */
export type GuestCommand = { execute: string; arguments?: object }

/** The agent in a guest. */
export type Agent = {
  /** What it tells of the guest. */
  look: (guest: Guest) => Promise<AgentView>
  /** @returns the number of file systems that are frozen. @throws ConflictError when no agent answers */
  freeze: (guest: Guest) => Promise<number>
  /** Lets the file systems be written again; those that are written are fine. */
  thaw: (guest: Guest) => Promise<number>
}

/**
 * A hypervisor. What it does to a guest may be done twice: what is already so is fine, and so is a guest that is gone,
 * except where it is to run. A host that does not answer is an UnavailableError.
 */
export type Hypervisor = {
  suitable: (reached: Reached, guest: Pick<Described, 'architecture'>) => Promise<Suitable>
  /** Everything that a node lacks for such a guest, at once. */
  check: (reached: Reached, guest: Described) => Promise<Violation[]>
  /** Has the host know the guest as it is described. What a running one cannot take is for its next start. */
  define: (vm: Definition) => Promise<void>
  /** Brings to a guest that is defined what it can take at once. @returns the fields that it has taken */
  change: (vm: Definition, fields: string[], isRunning: boolean) => Promise<string[]>
  /** What the host has of a guest: for its next start, and for the run it is in. null for one that is gone. */
  sizes: (guest: Guest) => Promise<{ next: Sizes; current: Sizes } | null>
  /** Another word for every run of a guest; null for one that is off. */
  runOf: (guest: Guest) => Promise<string | null>
  /** Makes the host forget a guest, switched off first, with all that it keeps of it but its disks. */
  undefine: (guest: Guest) => Promise<void>
  /** As `undefine`, but what the host kept of it is there again when it is defined anew; where that can be. */
  shelve?: (guest: Guest) => Promise<void>
  /** Gives a guest that has not started yet what another one's firmware has written down, such as boot entries. */
  copyFirmware?: (from: Guest, to: Guest) => Promise<void>
  /** @throws NotFoundError when the host does not know it */
  start: (guest: Guest) => Promise<void>
  stop: (guest: Guest) => Promise<void>
  /** Asks the guest to shut down, and does not wait for it. @throws ConflictError when it cannot be asked like that */
  askToStop: (guest: Guest, how?: Ask) => Promise<void>
  act: Record<'reset' | 'pause' | 'resume', (guest: Guest) => Promise<void>>
  /** Puts another medium into a drive of a guest that runs, or takes it out. @returns false when it has no such drive */
  changeMedium?: (guest: Guest, drive: 'iso' | 'seed', path: string | null) => Promise<boolean>
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
  adoption?: Adoption
  devices?: Devices
  agent?: Agent
  copies?: Copies
  /** Runs a query of QEMU's monitor. @throws ConflictError for a guest that is off */
  monitor?: (guest: Guest, command: GuestCommand) => Promise<unknown>
  /** Consoles, where the hypervisor has any that can be reached from outside. */
  consoles?: Consoles
}

/** Optional parts of a hypervisor. A part that it lacks is undefined; requirePart throws for callers. */
import type { Result } from '#shared/contract/contract.ts'
import type { ConsoleType, Endpoint } from '#shared/contracts/vm/consoles.ts'
import type { AgentView } from '#shared/contracts/vm/guests.ts'
import type { DiskSource } from '#shared/contracts/storage/disk-source.ts'
import type { Nic } from '#shared/contracts/vm/hardware.ts'
import type { Vm, vms } from '#shared/contracts/vm/vms.ts'
import type { Violation } from '#shared/errors.ts'
import type { Reached } from '#shared/nodes/nodes.ts'
import type { DiskRecord, VmRecord } from '../model.ts'
import type { Definition, Guest } from './guest.ts'
import type { Relocation } from './relocation.ts'

export type Parts = {
  adoption?: Adoption
  agent?: Agent
  changes?: Changes
  consoles?: Consoles
  copies?: Copies
  devices?: Devices
  firmware?: Firmware
  guards?: Guards
  hostState?: HostState
  inventory?: Inventory
  leftovers?: Leftovers
  media?: Media
  monitor?: Monitor
  moves?: Moves
  relocation?: Relocation
  power?: Power
  secrets?: Secrets
  serialLog?: SerialLog
  shelf?: Shelf
  snapshots?: Snapshots
  statistics?: Statistics
}

/** Secrets that disks on other machines need. */
export type Secrets = {
  /** Gives one to the hypervisor of a node, which keeps it. Repeating it is fine. */
  set: (
    node: string,
    secret: { id: string; usage: string; label: 'name' | 'target'; name: string; secret: Uint8Array },
  ) => Promise<void>
}

export type Power = Record<'reset' | 'pause' | 'resume', (guest: Guest) => Promise<void>>

export type Sizes = Pick<VmRecord, 'memory' | 'balloon' | 'cpus' | 'max_cpus'>
/** The sizes of the present run. `balloon` is left out while it moves. */
export type CurrentSizes = Omit<Sizes, 'balloon'> & Partial<Pick<Sizes, 'balloon'>>

/** Changes of a guest while it runs, by Horcrux and by others. */
export type Changes = {
  /** Gives a guest what it can take at once of a definition that is written. @returns the fields that it has taken */
  apply: (definition: Definition, fields: string[], isRunning: boolean) => Promise<string[]>
  /** The sizes of a guest for its next start, and in its present run; null for one that is gone. */
  sizes: (guest: Guest) => Promise<{ next: Sizes & Partial<Pick<VmRecord, 'autostart'>>; current: CurrentSizes } | null>
  /** The hypervisor has no events for most changes by others: definitions are compared every few seconds. */
  isCompared: boolean
  /** The boot id: changes at every start; null for a guest that is off. */
  bootIdOf: (guest: Guest) => Promise<string | null>
}

/** Keeps the host's definition of a guest while the host does not know the guest. */
export type Shelf = {
  /** As `undefine`; the next `define` brings back all that the definition had. */
  shelve: (guest: Guest) => Promise<void>
}

/** A disk or medium of a guest that its record does not have, because others gave it, or a record cannot describe it. */
export type ForeignDisk = Vm['foreign_disks'][number]

/** The disks that a guest has at its host, in its definition and as it runs. */
export type Inventory = {
  read: (guest: Guest & Pick<Definition, 'disks'>) => Promise<{
    foreign: ForeignDisk[]
    /** Places of recorded disks that the guest does not run with, such as one that it has let go of late. */
    lost: string[]
    /** Places that a further disk of a bus cannot have. */
    takenPlaces: (bus: DiskRecord['bus']) => string[]
  }>
}

/** A guest with our mark: of which VM it is, and which operation has made it. */
export type MarkedGuest = Pick<Guest, 'handle' | 'name'> & { vm: string; operation: string | null; isOff: boolean }
/** A file that belongs to a VM; `operation`: it was not complete yet. */
export type MarkedFile = { path: string; vm: string; operation: string | null }

/** Things on a node that may have lost their VM. */
export type Leftovers = {
  /** The guests with our mark, but for those with these handles. */
  guests: (reached: Reached, known: ReadonlySet<string>) => Promise<MarkedGuest[]>
  /** The files that the driver keeps of guests beside their disks. */
  files: (reached: Reached) => Promise<MarkedFile[]>
}

export type Firmware = {
  /** Gives a guest that has not started yet the firmware of another one, with its state, such as boot entries. */
  copy: (from: Guest, to: Guest) => Promise<void>
  /** Violations of a node that lacks a file of the firmware of a guest elsewhere. */
  lacking: (from: Guest, target: Reached) => Promise<Violation[]>
}

/** State that the host keeps of a guest and that no record has. */
export type HostState = {
  /** True for a guest that is off and whose next start restores its saved memory, with the hardware of then. */
  isSaved: (guest: Guest) => Promise<boolean>
  /** The reasons that a guest cannot become a template: state that would be lost with its definition. */
  templateObstacles: (guest: Guest) => Promise<string[]>
  /** The reasons that a guest cannot be cloned: state that its clone would not have. */
  cloneObstacles: (guest: Guest) => Promise<string[]>
}

/** The lease of a guest: a file with the epoch, on storage that all of its nodes read. */
export type GuestLease = { path: string; epoch: number }

/**
 * Guards of guests: programs on the node that go on without Horcrux. A guard ends its guest when the lease has a higher epoch,
 * or could not be read for a while.
 */
export type Guards = {
  /** Things of a guest that its node alone has, so that another node cannot start it as it was. */
  boundToNode: (guest: Pick<Definition, 'firmware'>) => Violation[]
  /** From the raising of an epoch on, a guard has ended its guest after this time, also on a node that is cut off. */
  deadlineMs: number
  /** Starts the guard and waits until it has read the lease; one that runs is fine. @throws ConflictError when it cannot run */
  start: (guest: Guest, lease: GuestLease) => Promise<void>
  /** Ends the guard, and leaves the guest; no guard is fine. */
  stop: (guest: Guest) => Promise<void>
  isAlive: (guest: Guest, lease: GuestLease) => Promise<boolean>
  /**
   * The storage of a guest that its guard has ended because it could not read the lease, as that guard sees it now; null: it has
   * not ended it for that. A guard that has gone since says nothing: the next start shows it.
   */
  storageOfEnded: (guest: Guest, lease: GuestLease) => Promise<'away' | 'back' | null>
}

/** The file in which a guard reports that it has ended its guest, beside the lease: the epoch and the node. */
export const reportOf = ({ path }: Pick<GuestLease, 'path'>) => `${path}.ended`

export type Media = {
  /** Puts another medium into a drive of a guest that runs; null takes it out. @returns false when it has no such drive */
  change: (guest: Guest, drive: 'iso' | 'seed', path: string | null) => Promise<boolean>
}

export type Stats = Pick<
  Result<typeof vms, 'stats'>,
  'cpu_time_ns' | 'memory_mib' | 'memory_rss_mib' | 'disks' | 'nics'
>
export type Statistics = { read: (guest: Guest) => Promise<Stats> }

export type SerialLog = {
  /** The end of what a guest wrote to its serial console since its last start. */
  text: (guest: Guest) => Promise<string>
}

export type Consoles = {
  /** The address of a console of a guest that runs. @throws ConflictError when the guest has no such console */
  find: (guest: Guest, type: ConsoleType) => Promise<Endpoint>
}

export type Device = { disk: DiskRecord } | { nic: Nic }

/** Devices of a guest that runs, beside its definition. */
export type Devices = {
  /** Plugs in a device that the definition has; one that is there is fine. @throws ConflictError when the guest cannot take it */
  plug: (guest: Guest, device: Device) => Promise<void>
  /** Unplugs a device; one that is gone is fine. @returns false when the guest has not let go of it in time */
  unplug: (guest: Guest, device: Device, timeoutMs: number, signal?: AbortSignal) => Promise<boolean>
  /** Grows a disk of a guest that runs, with its bytes. */
  grow: (guest: Guest, disk: DiskRecord, bytes: number) => Promise<void>
}

/** A disk of a guest, and the empty image of the same size that it is copied to. */
export type CopyTarget = { disk: string; source: DiskSource; format: DiskRecord['format'] }

/**
 * Copies of the disks of a guest that runs, all of one moment, while it runs on. A guest has one copy at a time; it goes on
 * in the hypervisor when the process that began it dies. `copy` is a word that the path of one of its images contains.
 */
export type Copies = {
  /** @throws ConflictError when the guest does not run, or is being copied */
  begin: (guest: Guest, targets: CopyTarget[]) => Promise<void>
  isUnderWay: (guest: Guest, copy: string) => Promise<boolean>
  /**
   * Waits for the end of a copy. @returns whether it is known to be whole: not when the hypervisor has forgotten its end
   * @throws ConflictError when it has failed
   */
  wait: (guest: Guest, copy: string, how: Copying) => Promise<boolean>
  /** Ends a copy; one that is not under way is fine. Its images are not written to afterwards. */
  abort: (guest: Guest, copy: string) => Promise<void>
}
export type Copying = { signal: AbortSignal; onProgress: (doneBytes: number, totalBytes: number) => void }

/**
 * Moves of a disk to another image while the guest runs. The hypervisor copies the disk, and from then on writes to both
 * images until the guest is switched to the new one. That goes on when the process that began it dies.
 */
export type Moves = {
  /** Repeating it is fine. @throws ConflictError for a guest that is off, or whose disk is copied elsewhere */
  begin: (guest: Guest, target: CopyTarget, how: { bytesPerSecond: number | null }) => Promise<void>
  /** Waits until both images are the same. @throws ConflictError when the copy has failed, or the guest is off */
  follow: (guest: Guest, target: CopyTarget, how: Copying) => Promise<void>
  /** True while both images are the same, and every write goes to both. */
  isSame: (guest: Guest, target: CopyTarget) => Promise<boolean>
  /**
   * Has the guest go on with the new image alone. Repeating it is fine.
   * @returns false when it has only the former one; null for a guest that is off with the former one in its definition
   */
  finish: (guest: Guest, target: CopyTarget) => Promise<boolean | null>
  /** Ends the copy, and leaves the guest on its image; one that is not under way is fine. */
  abort: (guest: Guest, target: CopyTarget) => Promise<void>
}

/** A disk of a guest, and an image that it is to have. */
export type DiskImage = { disk: string; source: DiskSource; format: DiskRecord['format'] }
/** Layers of a disk: the content of `top` goes into `base`, which is below it. */
export type Merging = { disk: string; top: DiskSource; base: DiskSource }

/**
 * Snapshots of guests, without records of the hypervisor's own. `key` names what is kept on the node beside the disks: the
 * definition, the variables of its firmware, the state of its TPM, and the memory.
 */
export type Snapshots = {
  /** Switches disks of a guest to empty images on top of their present ones, all at one moment. Repeating it is fine. */
  switchDisks: (guest: Guest, images: DiskImage[]) => Promise<void>
  /** True when a guest that runs has any of these images as its disk. */
  isSwitched: (guest: Guest, images: DiskImage[]) => Promise<boolean>
  /** Merges layers of a guest that runs, while it runs. @returns false when it is off: nothing is known of the layers */
  merge: (guest: Guest, merging: Merging, how: { signal: AbortSignal }) => Promise<boolean>
  /**
   * Keeps the definition of a guest, which may run.
   * @returns whether the guest has state beside its disks that changes while it runs: `keepState` keeps it
   */
  keepDefinition: (guest: Guest, key: string) => Promise<boolean>
  /** Keeps the state of a guest beside its disks, and its definition. It is off or paused. */
  keepState: (guest: Guest, key: string) => Promise<KeptState>
  /** Reads what is kept under a key; `memory_bytes` null: no memory. */
  kept: (guest: Guest, key: string) => Promise<KeptState & { memory_bytes: number | null }>
  /** Gives a guest that is off a state that was kept. */
  restoreState: (guest: Guest, key: string) => Promise<void>
  /** Writes the memory of a guest that is paused. @returns its bytes */
  saveMemory: (guest: Guest, key: string) => Promise<number>
  /** Starts a guest with memory that was kept, on the disks of now; one that runs already is fine. */
  restoreMemory: (guest: Guest, key: string, disks: DiskImage[], how: { paused: boolean }) => Promise<void>
  /** Removes all that is kept under a key; nothing is fine. */
  drop: (guest: Guest, key: string) => Promise<void>
  /** Packs the firmware's variables and the TPM's state that are kept under a key; null when there are none. */
  pack: (guest: Guest, key: string) => Promise<Buffer | null>
  /** Keeps a packed state under a key, for `restoreState`. */
  unpack: (guest: Guest, key: string, bytes: Uint8Array) => Promise<void>
}
export type KeptState = { bytes: number; has_variables: boolean; has_tpm: boolean }

/** The agent in a guest. */
export type Agent = {
  /** Reads what the agent tells of its guest. */
  view: (guest: Guest) => Promise<AgentView>
  /**
   * @param seconds limit of an answer; a minute if not given
   * @returns the number of file systems that are frozen
   * @throws ConflictError when no agent answers
   */
  freeze: (guest: Guest, seconds?: number) => Promise<number>
  /** Lets the file systems be written again; those that are not frozen are fine. `seconds` and errors are those of `freeze`. */
  thaw: (guest: Guest, seconds?: number) => Promise<number>
}

/** The hypervisor's own console of a guest, in the hypervisor's own protocol. */
export type Monitor = {
  /** Sends a query, which changes nothing. @throws ConflictError with the hypervisor's refusal */
  query: (guest: Guest, command: string, words?: object) => Promise<unknown>
}

/** A guest of a node, managed by Horcrux or not. */
export type Present = Omit<Result<typeof vms, 'unmanaged'>['data'][number], 'uuid' | 'hypervisor'> &
  Pick<Guest, 'handle'>

/** A guest that can be adopted, as a record would describe it; its disks are known by their sources alone. */
export type Adoptable = Present &
  Omit<Definition, keyof Guest | 'disks' | 'nics'> & {
    disks: Omit<DiskRecord, 'device_id'>[]
    nics: Omit<Nic, 'device_id'>[]
  } & Pick<VmRecord, 'description' | 'foreign_disks'> & {
    marked_id: string | null
    /** Parts of it that no field of a record describes, in words. */
    notes: string[]
    violations: Violation[]
  }

/** Guests that are on a node already and become VMs of Horcrux. */
export type Adoption = {
  list: (reached: Reached) => Promise<Present[]>
  /** @param wanted the handle or the name of a guest. @returns null when there is none */
  find: (reached: Reached, wanted: string) => Promise<Adoptable | null>
  /** Removes our mark from a guest, and leaves the rest as it is; one that is gone is fine. */
  letGo: (guest: Guest) => Promise<void>
}

/** Moves of guests between nodes. */
import type { DiskSource } from '#shared/contracts/storage/disk-source.ts'
import type { MoveProgress } from '#shared/contracts/vm/moves.ts'
import type { Violation } from '#shared/errors.ts'
import type { Definition, Guest } from './guest.ts'

/**
 * A guest on one of the two nodes of a move. `incoming`: it is being received and has not run here. `handed_over`: stopped
 * after it was sent, and must not run again unless the target is known not to run it. `split`: in post-copy, each node has a
 * part of its memory, and neither can do without the other. `unknown`: the node does not answer.
 */
export type Side = 'absent' | 'off' | 'running' | 'paused' | 'incoming' | 'handed_over' | 'split' | 'unknown'
export type Sides = { source: Side; target: Side }

/** A disk at the target. `isCopied`: its bytes are copied during the move. */
export type MovedDisk = { id: string; source: DiskSource; isCopied: boolean }

export type Moving = {
  target: string
  disks: MovedDisk[]
  /** Files of the guest beside its disks that the target has under another path. */
  files: readonly { from: string; to: string }[]
  bandwidthMib: number
  autoConverge: boolean
  /** The watcher may order post-copy. */
  mayPostCopy: boolean
  maxDowntimeMs: number
}

/** State of the process of a guest. `error`: the reason that it does not answer. */
export type ProcessProbe = { error: string | null; cpus: number | null; brokenDisks: string[] }

export type Relocation = {
  /** Everything of a guest that keeps it from moving, and what to know before. @param isLive without being switched off */
  check: (vm: Definition, target: string, isLive: boolean) => Promise<{ violations: Violation[]; warnings: string[] }>
  /** The guest at both nodes. */
  sides: (guest: Guest, target: string) => Promise<Sides>
  /** Ends an outgoing move that nothing drives any more; none is fine. */
  abort: (guest: Guest) => Promise<void>
  /**
   * Moves a guest that runs or is paused, and waits for the end. `sides` tells the outcome, also after an error.
   * @throws ConflictError, UnavailableError with the hypervisor's words
   */
  move: (
    vm: Definition,
    how: Moving,
    watch: {
      signal: AbortSignal
      /** Aborted to switch to post-copy; after that `signal` counts no more. */
      postCopy: AbortSignal
      onProgress: (progress: MoveProgress) => void
    },
  ) => Promise<void>
  /**
   * Goes on with a move whose guest is split, over a new connection when the former one is broken, and waits for its end or
   * for `withinMs`. `sides` tells the outcome.
   * @throws ConflictError, UnavailableError with the hypervisor's words
   */
  reunite: (guest: Guest, how: Pick<Moving, 'target' | 'bandwidthMib'>, withinMs: number) => Promise<void>
  /** The numbers of a move that runs; null when none does. */
  progress: (guest: Guest) => Promise<MoveProgress | null>
  /** Measured numbers of the last move, read where the guest is now; null when the hypervisor has forgotten them. */
  measured: (guest: Guest) => Promise<MoveProgress | null>
  /** Defines a guest that is off on another node, with its files beside the disks. */
  carry: (vm: Definition, how: Pick<Moving, 'target' | 'disks' | 'files'>) => Promise<void>
  /** Asks the hypervisor's process of a guest for its processors and disks, where the guest is now. */
  probe: (guest: Guest) => Promise<ProcessProbe>
  /** Memory that a guest changes within one second, MiB; null when the hypervisor cannot tell. Does the guest no harm. */
  dirtyMibPerSecond: (guest: Guest) => Promise<number | null>
  /** Has the network learn the place of a guest that runs. */
  announce: (guest: Guest) => Promise<void>
}

/**
 * Decision after a move has ended in any way, also by a crash.
 * `moved`: the target runs it, so the source must not. `stays`: the source has it; the target must be cleared.
 * `resume`: the target is known not to run it; clear it and let the source run on. `ended`: the guest has ended itself.
 * `wait`: one side may run it, which is not known; touch nothing. `double`: both run it. `split`: each has a part of it; neither
 * may be ended or resumed. `torn`: one has a part of it, and the other part is gone.
 */
export type Verdict = 'moved' | 'stays' | 'resume' | 'ended' | 'wait' | 'double' | 'split' | 'torn'

const runs = (side: Side) => side === 'running' || side === 'paused'

/** The table "who may run after doubt". A paused guest counts as one that runs: it has memory. */
export function judge({ source, target }: Sides): Verdict {
  if (runs(target)) return source === 'running' ? 'double' : 'moved'
  if (runs(source)) return 'stays'
  if (target === 'unknown' || source === 'unknown') return 'wait'
  // The target is told that it runs the guest a moment after the source has stopped it.
  if (source === 'split') return target === 'split' || target === 'incoming' ? 'split' : 'torn'
  if (target === 'split') return 'torn'
  return source === 'handed_over' ? 'resume' : 'ended'
}

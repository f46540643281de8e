import { NotFoundError } from '#shared/errors.ts'
import type { VmStatus } from '#shared/contracts/vm/vms.ts'
import type { DomainState, StateAndReason } from '#shared/nodes/libvirt/worker/states.ts'
import type { Status } from '../driver.ts'

const statuses: Record<DomainState, VmStatus> = {
  no_state: 'unknown',
  running: 'running',
  blocked: 'running',
  paused: 'paused',
  shutting_down: 'running',
  shut_off: 'stopped',
  crashed: 'stopped',
  pm_suspended: 'paused',
}

/** A guest in this state can be started, and has no process to end. */
export const isOff = (state: DomainState) => statuses[state] === 'stopped'

const plain = new Set([
  'unknown',
  'booted',
  'unpaused',
  'wakeup',
  'user',
  'shutdown',
  'destroyed',
  'restored',
  'saved',
  'daemon',
  'starting_up',
])

const explained: Partial<Record<DomainState, string>> = {
  crashed: 'The guest crashed',
  pm_suspended: 'The guest has suspended itself',
}

/** Of both nodes of a move, while each has a part of the guest's memory. */
const inPostCopy: Record<string, string> = {
  postcopy: 'It runs while the rest of its memory follows (post-copy)',
  postcopy_failed: 'Its post-copy was interrupted: it stands still until the rest of its memory can follow',
}

const savedReason = 'Its memory is saved on the node; its next start restores it, with the hardware of then'

/** libvirt's state in our words; a reason only where it tells more than the state. */
export const statusOf = ({ state, reason, isSaved = false }: StateAndReason & { isSaved?: boolean }): Status => ({
  // QEMU starts a guest paused for a moment: it does not run yet.
  status: reason === 'starting_up' ? 'stopped' : statuses[state],
  status_reason: isSaved
    ? savedReason
    : (explained[state] ?? inPostCopy[reason] ?? (plain.has(reason) ? null : reason.replaceAll('_', ' '))),
})

/** The answer, or something else when the domain is not there. */
export async function unlessMissing<T>(ask: () => Promise<T>, otherwise: T): Promise<T> {
  try {
    return await ask()
  } catch (error) {
    if (error instanceof NotFoundError) return otherwise
    throw error
  }
}

import { hostname } from 'node:os'
import { v7 } from 'uuid'
import { config } from '#shared/config/config.ts'
import { findAll } from '#shared/db/commands.ts'
import { hasEnded, isFree, leaseFor, takeLease } from '#shared/db/lease.ts'
import type { Stored } from '#shared/db/model.ts'
import { LostLeaseError } from '#shared/errors.ts'
import { activeStates, type Entry, findEntry, fromStore, operationModel } from '#shared/operation/entries.ts'
import { nudge } from '#shared/operation/wait.ts'
import { log } from '#shared/runtime/log.ts'
import type { FencingToken } from '#shared/runtime/request-context.ts'

/**
 * The lease of an operation: only its holder works on it. It is taken with a higher epoch, renewed by every write of the
 * journal and by a timer, and lost when its holder is silent for longer than it lasts.
 */

/** Length of a lease: after this time without renewal another process takes the operation over. Milliseconds. */
export const leaseMs = () => config().leaseSeconds * 1000

/** This process, as the holder of leases. */
export const holder = `${hostname()}/${process.pid}/${v7().slice(-8)}`

/** A lease of this process, from now on. */
export const ownLease = () => leaseFor(holder, leaseMs())

/** Takes an operation for this process, with a higher epoch. @returns null when it has ended or another process holds it */
export async function take(id: string): Promise<Entry | null> {
  const active = { _id: id, state: { $in: activeStates } }
  const taken = await takeLease<Stored>(operationModel, active, ownLease(), { change: { $inc: { version: 1 } } })
  return taken && fromStore(taken)
}

/** The ids of active operations of these services whose lease is free or has ended. */
export async function abandoned(services: string[], createdBefore: string, limit: number): Promise<string[]> {
  const filter = {
    state: { $in: activeStates },
    service: { $in: services },
    created_at: { $lt: createdBefore },
    ...isFree(),
  }
  return (await findAll(operationModel, filter, { fields: ['_id'], limit })).map(({ _id }) => _id)
}

/** To be called before every effect. @throws LostLeaseError when the lease has ended by the clock, as after a long stop of the process */
export function requireLease({ id, lease }: Pick<Entry, 'id' | 'lease'>): void {
  if (hasEnded(lease)) throw new LostLeaseError(`The lease of operation '${id}' has run out`)
}

/** Checks a call that comes from an operation. @throws LostLeaseError when it comes from a run that was taken over, or has ended */
export async function requireCurrentRun({ operation, epoch }: FencingToken): Promise<void> {
  const entry = await findEntry(operation)
  if (entry?.epoch !== epoch || entry.ended_at !== null)
    throw new LostLeaseError(`Operation '${operation}' was taken over`)
}

/** Maximum age of the progress in the journal, for callers that poll. Milliseconds. */
const progressAgeMs = 1000

/** The part of the journal that a renewal needs. */
type Renewable = { entry: Entry; ageMs: () => number; hasNewProgress: () => boolean; renew: () => Promise<void> }

/**
 * Renews the lease while an operation runs.
 * @param onLost called when another process has taken the lease
 * @returns a function that stops it
 */
export function keepLease(journal: Renewable, onLost: (error: LostLeaseError) => void): () => void {
  const renew = async () => {
    if (journal.ageMs() < leaseMs() / 4 && !journal.hasNewProgress()) return
    try {
      await journal.renew()
      nudge(journal.entry.id)
    } catch (error) {
      if (error instanceof LostLeaseError) onLost(error)
      else log('operations').warn({ err: error }, 'the lease could not be renewed')
    }
  }
  const timer = setInterval(() => void renew(), Math.min(progressAgeMs, leaseMs() / 4))
  return () => clearInterval(timer)
}

import { Type } from 'typebox'
import { nullable, strict, Time } from '#shared/contracts/common.ts'
import { type Filter, findAndUpdate, isDuplicate, type Update } from '#shared/db/commands.ts'
import type { StoredModel } from '#shared/db/model.ts'

/**
 * A lease lies in the document that it protects, so that taking it and changing the document are one atomic write:
 * `lease` has the holder and the time of its end (null or missing: free), and `epoch` goes up each time it is taken. The
 * holder's writes name the epoch, so that a former holder that wakes up late writes nothing.
 */
export type Lease = { holder: string; until: string }

/** The two fields, for the schema of a document that has a lease. */
export const leaseFields = {
  lease: nullable(strict({ holder: Type.String(), until: Time })),
  epoch: Type.Integer({ description: 'How often the lease was taken' }),
}

/** One taking of a lease: the document, and the epoch that counts for it. */
export type Held = { id: string; epoch: number }

const timeAfter = (ms: number) => new Date(Date.now() + ms).toISOString()

/** A lease from now on. */
export const leaseFor = (holder: string, ms: number): Lease => ({ holder, until: timeAfter(ms) })

/** Checks that a lease has ended by the clock of this process. */
export const hasEnded = (lease: Lease | null | undefined): boolean => !lease || lease.until < timeAfter(0)

/** Fits documents whose lease is free, has ended, or belongs to a holder that is known to have died. */
export const isFree = (dead?: string): Filter => ({
  $or: [
    { lease: null },
    { 'lease.until': { $lt: timeAfter(0) } },
    ...(dead === undefined ? [] : [{ 'lease.holder': dead }]),
  ],
})

/** Fits the document until its lease is taken by another. */
export const heldAs = ({ id, epoch }: Held): Filter => ({ _id: id, epoch })

type Taking = {
  /** A holder that has died, whose lease need not have ended. */
  dead?: string | undefined
  /** Written in the same write. */
  change?: Update
  /** Makes the document when it is missing. */
  upsert?: boolean
}

/** Takes the lease of a document that fits the filter. @returns the document with its new epoch, or null when the lease is held */
export async function takeLease<T>(
  model: StoredModel,
  filter: Filter,
  lease: Lease,
  { dead, change = {}, upsert = false }: Taking = {},
): Promise<T | null> {
  const taking = { ...change, $set: { ...change.$set, lease }, $inc: { ...change.$inc, epoch: 1 } }
  try {
    return await findAndUpdate<T>(model, { ...filter, ...isFree(dead) }, taking, { upsert })
  } catch (error) {
    // The document is there, with a lease that another holds: it does not fit, so the upsert tries to make it.
    if (upsert && isDuplicate(error)) return null
    throw error
  }
}

/** Puts off the end of a lease. @returns false when another has taken it */
export const renewLease = async (model: StoredModel, held: Held, lease: Lease): Promise<boolean> =>
  (await findAndUpdate(model, heldAs(held), { $set: { lease } })) !== null

/** Ends a lease early, with a change in the same write. @returns false when another has taken it */
export async function releaseLease(model: StoredModel, held: Held, change: Update = {}): Promise<boolean> {
  const releasing = { ...change, $set: { ...change.$set, lease: null } }
  return (await findAndUpdate(model, heldAs(held), releasing)) !== null
}

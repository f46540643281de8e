import { hasHolderGone, newHolder } from '#shared/bus/liveness.ts'
import { type Lease, leaseFor, takeLease } from './lease.ts'
import type { StoredModel } from './model.ts'

type Taking = {
  ms: number
  /** Makes the document when it is missing. */
  upsert?: boolean
  /** Reads the lease as it is now. */
  read: () => Promise<Lease | null | undefined>
}

/**
 * Takes the lease of a document for a piece of work of this process, also one whose holder is a process that has gone: its
 * work is not waited for.
 * @returns the document with its new epoch, or null when a process that lives holds the lease
 */
export async function takeOver<T>(model: StoredModel, id: string, { ms, upsert, read }: Taking): Promise<T | null> {
  const take = (dead?: string) =>
    takeLease<T>(model, { _id: id }, leaseFor(newHolder(), ms), { dead, upsert: upsert ?? false })
  const taken = await take()
  if (taken) return taken
  const holder = (await read())?.holder
  return holder !== undefined && (await hasHolderGone(holder)) ? take(holder) : null
}

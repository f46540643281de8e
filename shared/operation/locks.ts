import { setTimeout as delay } from 'node:timers/promises'
import { type Static, Type } from 'typebox'
import { v7 } from 'uuid'
import { strict, Time } from '#shared/contracts/common.ts'
import { findAll, findOne, insertIfNew, removeAll, replace, updateAll } from '#shared/db/commands.ts'
import { hasEnded, type Lease, leaseFields, leaseFor } from '#shared/db/lease.ts'
import { modelOf } from '#shared/db/model.ts'
import { ConflictError } from '#shared/errors.ts'
import { now } from '#shared/events/event.ts'
import { findEntry, isActive, statesOf } from '#shared/operation/entries.ts'
import { holder, leaseMs } from '#shared/operation/lease.ts'

const Lock = strict({
  id: Type.String(),
  operation: Type.String(),
  user: Type.String(),
  reason: Type.String(),
  since: Time,
  shares: Type.Optional(Type.String({ description: 'The path that it shares with others; without it is held alone' })),
  brief: Type.Optional(Type.Boolean({ description: 'A change that is no operation, and is over in a moment' })),
  lease: Type.Optional(leaseFields.lease),
})
type Stored = Pick<Static<typeof Lock>, 'operation' | 'user' | 'reason' | 'since'> & {
  _id: string
  shares?: string
  brief?: boolean
  lease?: Lease | null
}

const lockModel = modelOf('locks', Lock, [{ fields: { operation: 1 } }, { fields: { shares: 1 }, sparse: true }])

/** Length of the lease of a lock whose operation is not stored yet. Milliseconds. */
const acceptingMs = 4000
const acceptingLease = () => leaseFor(holder, acceptingMs)
/** A lock of an earlier version has no lease. Milliseconds. */
const leaselessMs = 30_000
/** Time that an operation waits for brief changes. Milliseconds. */
const briefMs = 5000
/** Time that an operation waits for another one to be stored, so that the refusal can name it. Milliseconds. */
const storingMs = 1000

/** True while the process that accepts the operation of a lock, or makes a brief change, is alive. */
const isBeingMade = ({ lease, since }: Stored) =>
  lease === undefined ? Date.parse(since) > Date.now() - leaselessMs : !hasEnded(lease)

/**
 * Locks a resource for an operation. Once the operation is stored, its lock lives as long as it is active. Until then the
 * lock has a lease, which {@link keepLocks} renews: a process that dies meanwhile keeps nobody waiting.
 * @throws ConflictError saying who holds it, for what, since when and until when
 */
export async function hold(path: string, operation: string, user: string, reason: string): Promise<void> {
  await put({ _id: path, operation, user, reason, since: now(), lease: acceptingLease() })
  // Each kind of lock is written before the other kind is looked for: of two operations that meet, at least one sees the other.
  await refuseIfShared(path, { operation })
}

/**
 * As {@link hold}, shared with other operations: no change of the resource is allowed meanwhile.
 * @throws ConflictError when an operation holds it
 */
export async function share(path: string, operation: string, user: string, reason: string): Promise<void> {
  const lease = acceptingLease()
  await put({ _id: `shared ${path} ${operation}`, operation, user, reason, since: now(), shares: path, lease })
  const held = await findOne<Stored>(lockModel, { _id: path })
  if (held && held.operation !== operation) await refuseIfAlive(held)
}

/**
 * Runs a brief change that is no operation. Other brief changes may run beside it; operations wait.
 * @throws ConflictError when an operation has it
 */
export async function changing<T>(path: string, user: string, reason: string, change: () => Promise<T>): Promise<T> {
  const operation = v7()
  const lock = { _id: `shared ${path} ${operation}`, operation, user, reason, since: now(), shares: path, brief: true }
  await put({ ...lock, lease: acceptingLease() })
  const kept = keepLocks(operation)
  try {
    await requireFree(path)
    return await change()
  } finally {
    kept.end()
    await release(operation)
  }
}

/**
 * Renews the leases of an operation's locks until it is stored.
 * @returns `requireAll` throws ConflictError when one of so many locks was lost, as after a stop of this process
 */
export function keepLocks(operation: string): { requireAll: (count: number) => Promise<void>; end: () => void } {
  let renewedAt = Date.now()
  const renew = async (): Promise<number> => {
    const at = Date.now()
    const found = await updateAll(lockModel, { operation }, { $set: { lease: acceptingLease() } })
    renewedAt = at
    return found
  }
  // A store that does not answer is told by the operation itself.
  const timer = setInterval(() => void renew().catch(() => undefined), acceptingMs / 4)
  return {
    requireAll: async (count) => {
      if (Date.now() - renewedAt < acceptingMs / 2 || (await renew()) >= count) return
      throw new ConflictError('Another request has taken the resource meanwhile; try again', { retryable: true })
    },
    end: () => clearInterval(timer),
  }
}

async function put(lock: Stored): Promise<void> {
  if (await insertIfNew(lockModel, lock)) return
  const { _id, operation } = lock
  const held = await findOne<Stored>(lockModel, { _id })
  if (held?.operation === operation) return
  if (held) await refuseIfAlive(held)
  const replaced = held && (await replace(lockModel, { _id, operation: held.operation }, lock))
  // It was released, or taken by another operation, in between: begin again.
  if (!replaced) await put(lock)
}

/** Waits until brief changes are over; new ones are refused meanwhile, since the exclusive lock is written already. */
async function refuseIfShared(path: string, { operation, beside }: { operation?: string; beside?: 'brief' }) {
  for (const deadline = Date.now() + briefMs; ; await delay(20)) {
    const sharers = await findAll<Stored>(lockModel, { shares: path })
    const others = sharers.filter((lock) => lock.operation !== operation && !(beside && lock.brief))
    const isOver = Date.now() > deadline
    for (const lock of others) if (!lock.brief || isOver) await refuseIfAlive(lock)
    if (isOver || !others.some((lock) => lock.brief && isBeingMade(lock))) return
  }
}

/** @throws ConflictError when an operation holds the resource */
export async function requireFree(path: string): Promise<void> {
  const held = await findOne<Stored>(lockModel, { _id: path })
  if (held) await refuseIfAlive(held)
  await refuseIfShared(path, { beside: 'brief' })
}

/** The operation of a lock; null when it is not stored, although it had a moment for it. */
async function operationOf(lock: Stored) {
  for (const deadline = Date.now() + storingMs; ; await delay(25)) {
    const entry = await findEntry(lock.operation)
    if (entry || lock.brief || Date.now() > deadline) return entry
    const now = await findOne<Stored>(lockModel, { _id: lock._id, operation: lock.operation })
    if (!now || !isBeingMade(now)) return null
  }
}

async function refuseIfAlive(lock: Stored) {
  const { _id, shares: path = _id, operation, user, reason, since, brief } = lock
  const entry = await operationOf(lock)
  if (entry ? !isActive(entry) : !(await isStillMade(lock))) return
  // An operation that is not stored cannot be followed, and may never be: its id is not told.
  if (!entry)
    throw new ConflictError(
      `${path} is being ${brief ? 'changed' : 'taken'} by ${brief ? '' : 'a request of '}${user} (${reason}); try again`,
      { retryable: true, details: { path, user, reason, since } },
    )
  const until = entry.lease?.until ?? new Date(Date.now() + leaseMs()).toISOString()
  throw new ConflictError(
    `${path} is held by operation ${operation} of ${user} (${reason}) since ${since}, until ${until} unless renewed`,
    {
      retryable: true,
      details: { path, operation_id: operation, user, reason, since, until },
    },
  )
}

/** Reads a lock once more: its lease may have been renewed since. */
async function isStillMade({ _id, operation }: Stored): Promise<boolean> {
  const now = await findOne<Stored>(lockModel, { _id, operation })
  return now !== null && isBeingMade(now)
}

export const release = (operation: string) => removeAll(lockModel, { operation })

/**
 * Removes locks that a crash left behind: of operations that have ended, and of those that were never stored.
 */
export async function sweepLocks(): Promise<void> {
  const locks = await findAll<Stored>(lockModel)
  if (locks.length === 0) return
  const ids = [...new Set(locks.map(({ operation }) => operation))]
  const states = await statesOf(ids)
  const isOver = (lock: Stored) => {
    const state = states.get(lock.operation)
    return state === undefined ? !isBeingMade(lock) : !isActive({ state })
  }
  for (const id of new Set(locks.filter(isOver).map(({ operation }) => operation))) await release(id)
}

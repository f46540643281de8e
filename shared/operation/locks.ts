import { setTimeout as delay } from 'node:timers/promises'
import { type Static, Type } from 'typebox'
import { v7 } from 'uuid'
import { strict, Time } from '#shared/contracts/common.ts'
import { findAll, findOne, insertIfNew, removeAll, replace } from '#shared/db/commands.ts'
import { modelOf } from '#shared/db/model.ts'
import { ConflictError } from '#shared/errors.ts'
import { now } from '#shared/events/event.ts'
import { findEntry, isActive, statesOf } from '#shared/operation/entries.ts'
import { leaseMs } from '#shared/operation/lease.ts'

const Lock = strict({
  id: Type.String(),
  operation: Type.String(),
  user: Type.String(),
  reason: Type.String(),
  since: Time,
  shares: Type.Optional(Type.String({ description: 'The path that it shares with others; without it is held alone' })),
  brief: Type.Optional(Type.Boolean({ description: 'A change that is no operation, and is over in a moment' })),
})
type Stored = Pick<Static<typeof Lock>, 'operation' | 'user' | 'reason' | 'since'> & {
  _id: string
  shares?: string
  brief?: boolean
}

const lockModel = modelOf('locks', Lock, [{ fields: { operation: 1 } }, { fields: { shares: 1 }, sparse: true }])

/** A lock without an operation, which a crash in `accept` leaves behind, is free after this long. Milliseconds. */
const orphanMs = 30_000
const isRecent = (since: string) => Date.parse(since) > Date.now() - orphanMs
/** Time that an operation waits for brief changes. Milliseconds. */
const briefMs = 5000

/**
 * Locks a resource for an operation. A lock has no lease of its own: it lives as long as its operation is active, and is
 * as alive as the lease of that operation.
 * @throws ConflictError saying who holds it, for what, since when and until when
 */
export async function hold(path: string, operation: string, user: string, reason: string): Promise<void> {
  await put({ _id: path, operation, user, reason, since: now() })
  // Each kind of lock is written before the other kind is looked for: of two operations that meet, at least one sees the other.
  await refuseIfShared(path, { operation })
}

/**
 * As {@link hold}, shared with other operations: no change of the resource is allowed meanwhile.
 * @throws ConflictError when an operation holds it
 */
export async function share(path: string, operation: string, user: string, reason: string): Promise<void> {
  await put({ _id: `shared ${path} ${operation}`, operation, user, reason, since: now(), shares: path })
  const held = await findOne<Stored>(lockModel, { _id: path })
  if (held && held.operation !== operation) await refuseIfAlive(held)
}

/**
 * Runs a brief change that is no operation. Other brief changes may run beside it; operations wait.
 * @throws ConflictError when an operation has it
 */
export async function changing<T>(path: string, user: string, reason: string, change: () => Promise<T>): Promise<T> {
  const operation = v7()
  await put({ _id: `shared ${path} ${operation}`, operation, user, reason, since: now(), shares: path, brief: true })
  try {
    await requireFree(path)
    return await change()
  } finally {
    await release(operation)
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
    if (isOver || !others.some(({ brief, since }) => brief && isRecent(since))) return
  }
}

/** @throws ConflictError when an operation holds the resource */
export async function requireFree(path: string): Promise<void> {
  const held = await findOne<Stored>(lockModel, { _id: path })
  if (held) await refuseIfAlive(held)
  await refuseIfShared(path, { beside: 'brief' })
}

async function refuseIfAlive({ _id, shares: path = _id, operation, user, reason, since, brief }: Stored) {
  const entry = await findEntry(operation)
  const isBeingMade = !entry && isRecent(since)
  if (!(entry && isActive(entry)) && !isBeingMade) return
  if (brief)
    throw new ConflictError(`${path} is being changed by ${user} (${reason}); try again`, {
      retryable: true,
      details: { path, user, reason, since },
    })
  const until = entry?.lease?.until ?? new Date(Date.now() + leaseMs()).toISOString()
  throw new ConflictError(
    `${path} is held by operation ${operation} of ${user} (${reason}) since ${since}, until ${until} unless renewed`,
    {
      retryable: true,
      details: { path, operation_id: operation, user, reason, since, until },
    },
  )
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
  const orphaned = new Date(Date.now() - orphanMs).toISOString()
  const isOver = ({ operation, since }: Stored) => {
    const state = states.get(operation)
    return state === undefined ? since < orphaned : !isActive({ state })
  }
  for (const id of new Set(locks.filter(isOver).map(({ operation }) => operation))) await release(id)
}

import { Type } from 'typebox'
import { strict, Time } from '#shared/contracts/common.ts'
import { inStore } from '#shared/db/connect.ts'
import { modelOf } from '#shared/db/model.ts'
import { ConflictError } from '#shared/errors.ts'
import { now } from '#shared/events/event.ts'
import { activeStates, findEntry, leaseMs, operationModel } from '#shared/operation/journal.ts'

const Lock = strict({
  id: Type.String(),
  operation: Type.String(),
  user: Type.String(),
  reason: Type.String(),
  since: Time,
})
type Stored = { _id: string; operation: string; user: string; reason: string; since: string }

const lockModel = modelOf('locks', Lock, [{ fields: { operation: 1 } }])

/** A lock whose operation never came to be is free after this long. Milliseconds. */
const orphanMs = 30_000

/**
 * Holds a resource for an operation. A lock lives as long as its operation is active, whose lease tells whether anybody
 * still works on it; so a lock is never older than the work that it protects.
 * @throws ConflictError saying who holds it, for what, since when and until when
 */
export async function hold(path: string, operation: string, user: string, reason: string): Promise<void> {
  const lock = { _id: path, operation, user, reason, since: now() }
  try {
    await inStore(() => lockModel.create([lock] as never))
    return
  } catch (error) {
    if ((error as { code?: number }).code !== 11_000) throw error
  }
  const held = (await inStore(() => lockModel.findById(path).lean())) as unknown as Stored | null
  if (held?.operation === operation) return
  if (held) await refuseIfAlive(held)
  const replaced = held
    ? await inStore(() =>
        lockModel.findOneAndReplace({ _id: path, operation: held.operation } as never, lock as never).lean(),
      )
    : null
  // It was let go, or taken by another, in between: begin again with what is true now.
  if (!replaced) await hold(path, operation, user, reason)
}

/** @throws ConflictError when an operation holds the resource: it is not to be changed under it */
export async function requireFree(path: string): Promise<void> {
  const held = (await inStore(() => lockModel.findById(path).lean())) as unknown as Stored | null
  if (held) await refuseIfAlive(held)
}

async function refuseIfAlive({ _id: path, operation, user, reason, since }: Stored): Promise<void> {
  const entry = await findEntry(operation)
  const isActive = entry && (activeStates as readonly string[]).includes(entry.state)
  const isBeingMade = !entry && Date.parse(since) > Date.now() - orphanMs
  if (!isActive && !isBeingMade) return
  const until = entry?.lease?.until ?? new Date(Date.now() + leaseMs()).toISOString()
  throw new ConflictError(
    `${path} is held by operation ${operation} of ${user} (${reason}) since ${since}, until ${until} unless renewed`,
    {
      retryable: true,
      details: { path, operation_id: operation, user, reason, since, until },
    },
  )
}

export const release = (operation: string) => inStore(() => lockModel.deleteMany({ operation } as never))

/** Removes the locks of operations that have ended, which a crash between the two writes leaves behind. */
export async function sweepLocks(): Promise<void> {
  const locks = (await inStore(() =>
    lockModel.find({ since: { $lt: new Date(Date.now() - orphanMs).toISOString() } } as never).lean(),
  )) as unknown as Stored[]
  if (locks.length === 0) return
  const ids = [...new Set(locks.map(({ operation }) => operation))]
  const active = await inStore(() =>
    operationModel.find({ _id: { $in: ids }, state: { $in: activeStates } } as never, { _id: 1 }).lean(),
  )
  const alive = new Set(active.map(({ _id }) => _id))
  for (const id of ids) if (!alive.has(id)) await release(id)
}

import { type Caller, isBegunBy, restrictedKeyOf, subjectOf, type Rights } from '#shared/access/access.ts'
import { cancelSubject } from '#shared/bus/identity/subjects.ts'
import { bus } from '#shared/bus/bus.ts'
import { operations } from '#shared/contracts/core/operations.ts'
import { requireVersion } from '#shared/db/if-match.ts'
import { ConflictError, notFound } from '#shared/errors.ts'
import { type Entry, findEntry, isActive, type LogLine, requestCancel, viewOf } from '#shared/operation/entries.ts'
import { searchOperations } from '#shared/operation/search.ts'
import { nudge, waitForEnd } from '#shared/operation/wait.ts'
import type { Call } from '#shared/runtime/handler.ts'
import { requireRight } from '#shared/access/require-right.ts'
import { implement } from '#shared/service/implement.ts'

const seesAll = (caller: Caller, rights: Rights) => caller.kind === 'service' || rights.allows('SysAudit', '/')

/** The operation, when the caller may know of it. */
async function visible(id: string, { caller, rights }: Call): Promise<Entry> {
  const entry = await findEntry(id)
  if (!entry || !(seesAll(caller, rights) || isBegunBy(caller, entry))) throw notFound('Operation', id)
  return entry
}

/** Served by every process that runs operations: all of them read the same journal. */
export const operationService = implement(operations, {
  list: async (query, { caller, rights }) => {
    const api_key = restrictedKeyOf(caller)
    const own = { user: subjectOf(caller), ...(api_key !== undefined && { api_key }) }
    const mine = seesAll(caller, rights) ? {} : own
    const found = await searchOperations(query, mine)
    return { ...found, data: found.data.map(viewOf) }
  },

  get: async ({ id }, call) => viewOf(await visible(id, call)),

  wait: async ({ id, timeout }, call) => {
    await visible(id, call)
    return viewOf(await waitForEnd(id, { timeoutMs: timeout * 1000 }))
  },

  log: async ({ id }, call) => {
    // The engine's lines are written later than those of the work.
    const lines = (await visible(id, call)).log as LogLine[]
    return { data: lines.toSorted((a, b) => a.time.localeCompare(b.time)) }
  },

  cancel: async ({ id }, call) => {
    const entry = await visible(id, call)
    requireVersion(`Operation '${id}'`, entry.version)
    if (!isBegunBy(call.caller, entry)) requireRight(call, 'SysModify', '/')
    const cancelled = await requestCancel(id)
    if (!cancelled) {
      const { state } = (await findEntry(id))!
      const isOver = !isActive({ state })
      throw new ConflictError(
        `Operation '${id}' ${isOver ? `has ended: ${state}` : 'has come too far to be cancelled'}`,
        { details: { state } },
      )
    }
    bus().nats.publish(cancelSubject, id)
    nudge(id)
    return viewOf(cancelled)
  },
})

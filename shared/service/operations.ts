import { type Caller, isBegunBy, restrictedKeyOf, subjectOf, type Rights } from '#shared/access/access.ts'
import { bus } from '#shared/bus/bus.ts'
import { operations } from '#shared/contracts/core/operations.ts'
import { placed } from '#shared/db/filter-field-map.ts'
import { everything, page } from '#shared/db/page.ts'
import { inStore } from '#shared/db/connect.ts'
import { requireVersion } from '#shared/db/if-match.ts'
import { ConflictError, notFound } from '#shared/errors.ts'
import {
  activeStates,
  type Entry,
  findEntry,
  fromStore,
  type LogLine,
  operationModel,
  viewOf,
} from '#shared/operation/journal.ts'
import { nudge, waitForEnd } from '#shared/operation/wait.ts'
import type { Call } from '#shared/runtime/handler.ts'
import { requireRight } from '#shared/access/require-right.ts'
import { implement } from '#shared/service/implement.ts'

const cancelSubject = 'horcrux.cancel'

const seesAll = (caller: Caller, rights: Rights) => caller.kind === 'service' || rights.allows('SysAudit', '/')

/** The operation, when the caller may know of it. */
async function visible(id: string, { caller, rights }: Call): Promise<Entry> {
  const entry = await findEntry(id)
  if (!entry || !(seesAll(caller, rights) || isBegunBy(caller, entry))) throw notFound('Operation', id)
  return entry
}

/** Served by every process that runs operations: all of them read the same journal. */
export const operationService = implement(operations, {
  list: async ({ filter, ...query }, { caller, rights }) => {
    const api_key = restrictedKeyOf(caller)
    const own = { user: subjectOf(caller), ...(api_key !== undefined && { api_key }) }
    const mine = seesAll(caller, rights) ? {} : own
    const asked = { ...query, filter: placed(filter, { resource: 'resources' }) }
    const found = await page(operationModel, asked, everything, mine, -1)
    return { ...found, data: found.data.map((document) => viewOf(fromStore(document))) }
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
    const cancelled = await inStore(() =>
      operationModel
        .findOneAndUpdate(
          { _id: id, state: { $in: activeStates }, cancellable: true } as never,
          { $set: { state: 'cancelling', cancel_requested: true }, $inc: { version: 1 } } as never,
          { returnDocument: 'after' },
        )
        .lean(),
    )
    if (!cancelled) {
      const { state } = (await findEntry(id))!
      const isOver = !(activeStates as readonly string[]).includes(state)
      throw new ConflictError(
        `Operation '${id}' ${isOver ? `has ended: ${state}` : 'has come too far to be cancelled'}`,
        { details: { state } },
      )
    }
    bus().nats.publish(cancelSubject, id)
    nudge(id)
    return viewOf(fromStore(cancelled))
  },
})

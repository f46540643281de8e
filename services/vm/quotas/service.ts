import { requireRight } from '#shared/access/require-right.ts'
import { call } from '#shared/bus/call.ts'
import { permissions } from '#shared/contracts/access/permissions.ts'
import { pools } from '#shared/contracts/storage/pools.ts'
import { type Quota, snapshotQuotas } from '#shared/contracts/vm/snapshot-quotas.ts'
import { invalid } from '#shared/errors.ts'
import { now } from '#shared/events/event.ts'
import { newId } from '#shared/ids.ts'
import type { Call } from '#shared/runtime/handler.ts'
import { implement } from '#shared/service/implement.ts'
import { apiPathOf, vmRecords } from '../model.ts'
import { enforce, quotaPathOf } from './enforce.ts'
import { judge } from './judge.ts'
import { quotaRecords, rooms } from './model.ts'
import { usageNow } from './usage-now.ts'
import { summaryOf } from './summary.ts'

/** Checks that the scope is there, and that the caller may see it. @throws NotFoundError, ForbiddenError */
async function requireScope(scope: Quota['scope'], asked: Call): Promise<void> {
  if (scope.kind === 'vm') {
    requireRight(asked, 'VmAudit', apiPathOf(scope.vm_id))
    await vmRecords.require(scope.vm_id)
  } else if (scope.kind === 'pool') {
    requireRight(asked, 'DatastoreAudit', `/api/storage/pools/${scope.pool}`)
    await call(pools, 'get', { id: scope.pool })
  }
}

/** @throws ValidationError for a quota without a limit */
function requireLimit({ max_count, max_bytes }: Pick<Quota, 'max_count' | 'max_bytes'>): void {
  if (max_count === null && max_bytes === null)
    throw invalid('max_count', 'A quota takes a limit: max_count, max_bytes or both', 'required')
}

export const quotaService = implement(snapshotQuotas, {
  list: (query, { maySee }) => quotaRecords.list(query, maySee),
  get: ({ id }) => quotaRecords.require(id),

  create: async ({ id = newId(), ...given }, asked) => {
    requireLimit(given)
    await requireScope(given.scope, asked)
    const at = now()
    const made = await quotaRecords.insert({ id, ...given, is_warning: false, created_at: at, updated_at: at })
    // The deletion of the VM or storage pool may have looked for its quotas before this one was there.
    await requireScope(given.scope, asked).catch(async (error: unknown) => {
      await quotaRecords.removeWhere({ _id: id, created_at: at })
      throw error
    })
    await judge([made])
    return quotaRecords.require(id)
  },

  update: async ({ id, ...given }) => {
    const changed = await quotaRecords.change(id, (before) => {
      requireLimit({ ...before, ...given })
      return { set: given }
    })
    await judge([changed])
    return quotaRecords.require(id)
  },

  delete: async ({ id }) => {
    const record = await quotaRecords.requireForChange(id)
    await call(permissions, 'forget', { path: quotaPathOf(id) })
    await quotaRecords.remove(record)
    await rooms.removeWhere({ _id: id })
    return null
  },

  usage: async ({ id }) => usageNow(await quotaRecords.require(id)),
  summary: (_params, { maySee }) => summaryOf(maySee),
  enforce,
})

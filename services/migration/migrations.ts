import { isBegunBy } from '#shared/access/access.ts'
import { requireRight } from '#shared/access/require-right.ts'
import { call } from '#shared/bus/call.ts'
import { operations } from '#shared/contracts/core/operations.ts'
import { migrations } from '#shared/contracts/migration/migrations.ts'
import { ConflictError, notFound } from '#shared/errors.ts'
import { requireVersion } from '#shared/db/if-match.ts'
import { findEntry, isActive } from '#shared/operation/entries.ts'
import { operation } from '#shared/operation/kinds.ts'
import type { Call } from '#shared/runtime/handler.ts'
import { implement } from '#shared/service/implement.ts'
import { type MigrationRecord, migrationRecords, readSettings, writeSettings } from './model.ts'
import { foretold } from './plan/foretold.ts'
import { vmPath } from './plan/plan.ts'
import { statisticsOf } from './statistics.ts'
import { shownAs, viewOf } from './view.ts'
import { rollBack } from './work/rollback.ts'
import { start } from './work/run.ts'

const maySee = ({ vm_id }: Pick<MigrationRecord, 'vm_id'>, { caller, rights }: Call) =>
  caller.kind === 'service' || rights.allows('VmAudit', vmPath(vm_id))

/** @throws NotFoundError also for a migration of a VM that the caller may not see */
async function find(id: string, asked: Call): Promise<MigrationRecord> {
  const found = await migrationRecords.get(id)
  if (!found || !maySee(found, asked)) throw notFound('Migration', id)
  return found
}

const withState = async (record: MigrationRecord) => shownAs(record, await findEntry(record.id))

export const migrationActions = implement(migrations, {
  start,
  check: foretold,

  status: async ({ vm_id }) => {
    const all = await migrationRecords.all({ vm_id })
    const last = all.toSorted((a, b) => b.created_at.localeCompare(a.created_at))[0]
    if (!last) throw notFound('Migration of virtual machine', vm_id)
    return viewOf(last)
  },

  list: async (query, asked) => {
    const isAll = asked.caller.kind === 'service' || asked.rights.allows('VmAudit', '/')
    const seen = isAll
      ? {}
      : { _id: { $in: (await migrationRecords.all()).flatMap((each) => (maySee(each, asked) ? [each.id] : [])) } }
    const found = await migrationRecords.list({ ...query, sort: '-created_at' }, { all: true, item: () => true }, seen)
    return { ...found, data: await Promise.all(found.data.map(withState)) }
  },

  get: async ({ id }, asked) => viewOf(await find(id, asked)),

  health: async ({ id }, asked) => ({ migration_id: id, health: (await find(id, asked)).health }),

  statistics: async () => statisticsOf(await Promise.all((await migrationRecords.all()).map(withState))),

  cancel: async ({ id }, asked) => {
    const record = await find(id, asked)
    requireVersion(`Migration '${id}'`, record.version)
    const entry = await findEntry(id)
    if (!entry || !isBegunBy(asked.caller, entry)) requireRight(asked, 'VmMigrate', vmPath(record.vm_id))
    if ((await viewOf(record)).statistics?.post_copy_at && entry && isActive(entry))
      throw new ConflictError(`Migration '${id}' is in post-copy: each node has a part of the guest until it ends`)
    await call(operations, 'cancel', { id })
    return viewOf(await migrationRecords.require(id))
  },

  rollback: operation({
    accept: async ({ id }: { id: string }, accepting) => {
      const record = await find(id, accepting)
      await accepting.hold(vmPath(record.vm_id))
      const { status, rollback } = await withState(record)
      if (status !== 'failed' && status !== 'cancelled')
        throw new ConflictError(`Migration '${id}' is ${status}: only one that failed is rolled back`)
      if (rollback?.state === 'completed') throw new ConflictError(`Migration '${id}' is rolled back already`)
      return { id }
    },
    run: async (op, { id }) => {
      await op.commit()
      return op.step('rolling back', async () => viewOf(await rollBack(id, false)))
    },
  }),

  settings: () => readSettings(),
  configure: (set) => writeSettings(set),
})

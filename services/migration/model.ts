import { Type } from 'typebox'
import { Id } from '#shared/contracts/common.ts'
import type { Event } from '#shared/contracts/core/events.ts'
import { Baseline } from '#shared/contracts/migration/health.ts'
import { Migration, MigrationSettings } from '#shared/contracts/migration/migrations.ts'
import { collection } from '#shared/db/collection.ts'
import { convertDocuments } from '#shared/db/convert-documents.ts'
import { now } from '#shared/events/event.ts'

const {
  status: _s,
  progress_percent: _p,
  pause: _u,
  error: _e,
  user,
  started_at: _b,
  ended_at,
  ...kept
} = Migration.properties

/**
 * A migration as stored, under the id of its operation. While the operation is kept, its state is read from there; `outcome`
 * is what stays.
 */
export const migrationRecords = collection(
  'migrations',
  Type.Object({
    ...kept,
    user,
    ended_at,
    outcome: Type.Union([Type.Enum(['completed', 'failed', 'cancelled']), Type.Null()]),
    is_off: Type.Boolean({ description: 'The guest was off when it began' }),
    is_paused: Type.Boolean(),
    baseline: Type.Union([Baseline, Type.Null()]),
  }),
  {
    kind: 'Migration',
    resource: { path: '/api/migrations/{id}', sees: 'VmAudit on /api/vms/{vm_id}' },
    migrate: convertDocuments({
      where: { post_copy: { $exists: false } },
      convert: ({ health = null, baseline = null, forecast = null }) => ({
        health,
        baseline,
        forecast,
        post_copy: 'never',
      }),
    }),
    indexes: [
      { fields: { 'health.move_back.state': 1 }, sparse: true },
      { fields: { vm_id: 1, created_at: -1 } },
      { fields: { created_at: -1 } },
    ],
  },
)
export type MigrationRecord = Awaited<ReturnType<typeof migrationRecords.require>>

/** Records the outcome of a migration and tells it, once. @param told its events */
export async function endMigration(
  id: string,
  outcome: NonNullable<MigrationRecord['outcome']>,
  told: (migration: MigrationRecord) => Event[],
): Promise<void> {
  const migration = await migrationRecords.require(id)
  await migrationRecords.updateWhere(
    { _id: id, outcome: null },
    { set: { outcome, ended_at: now() }, events: told(migration) },
  )
}

const settingsRecords = collection(
  'migration-settings',
  Type.Object({ id: Type.String(), ...Type.Partial(MigrationSettings).properties }),
  { kind: 'Settings of migrations' },
)
const settingsId = 'all'

const usual: MigrationSettings = {
  bandwidth_limit: 100,
  concurrent_per_node: 1,
  auto_rollback: true,
  auto_converge: true,
  post_copy: 'never',
  health_checks: true,
  health_rollback: false,
  health_timeout_seconds: 30,
  health_tries: 3,
  health_retry_seconds: 5,
}

export async function readSettings(): Promise<MigrationSettings> {
  const { id: _, version: _v, ...given } = (await settingsRecords.get(settingsId)) ?? { id: '', version: 0 }
  return { ...usual, ...given }
}

export async function writeSettings(set: Partial<MigrationSettings>): Promise<MigrationSettings> {
  if (!(await settingsRecords.updateWhere({ _id: settingsId }, { set })))
    await settingsRecords.insert({ id: settingsId, ...set })
  return readSettings()
}

/** The operations that have a place on a node. */
export const places = collection('migration-places', Type.Object({ id: Id, holders: Type.Array(Type.String()) }), {
  kind: 'Places for migrations of node',
})

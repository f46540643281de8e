import { call } from '#shared/bus/call.ts'
import { volumesInternal } from '#shared/contracts/storage/volumes-internal.ts'
import { moves } from '#shared/contracts/vm/moves.ts'
import { event, now } from '#shared/events/event.ts'
import { endMigration, type MigrationRecord, migrationRecords } from '../model.ts'
import { alertsOf, pauseOf } from '../pause.ts'
import { vmPath } from '../plan/plan.ts'
import { givePlacesBack } from './places.ts'

type Work = () => Promise<null>

/** The steps after the arrival of a guest, with their names. Each may be repeated. */
export function arriving(migration: MigrationRecord): [name: string, work: Work][] {
  const { vm_id: id, source_node, target_node: target, disks } = migration
  const owner = vmPath(id)
  const copied = disks.filter(({ is_copied }) => is_copied)
  return [
    [
      'recording new node',
      async () => {
        await call(moves, 'take', { id, target, disks }, { timeoutMs: 60_000 })
        return null
      },
    ],
    ['clearing source', () => call(moves, 'forget', { id, node: source_node }, { timeoutMs: 60_000 })],
    ...copied.map(({ id: place, source_pool, source_volume }): [string, Work] => [
      `deleting source of disk ${place}`,
      () =>
        call(volumesInternal, 'deleteFor', { id: source_pool, volume: source_volume, owner }, { timeoutMs: 60_000 }),
    ]),
  ]
}

/** Ends a migration whose guest is on the target. May be repeated. */
export async function complete({ id, vm_id, source_node, target_node }: MigrationRecord): Promise<null> {
  await givePlacesBack([source_node, target_node], id)
  const data = { migration_id: id, vm_id, source_node, target_node, timestamp: now() }
  await endMigration(id, 'completed', (migration) => {
    const pause = pauseOf(migration)
    const measured = { pause_ms: pause?.measured_ms ?? null, is_pause_exceeded: pause?.is_exceeded === true }
    return [event('MigrationCompleted', { ...data, ...measured }), ...alertsOf(migration)]
  })
  return null
}

/** Completes a migration whose guest has arrived although it was to be undone. */
export async function finish(migration: MigrationRecord): Promise<MigrationRecord> {
  for (const [, work] of arriving(migration)) await work()
  await complete(migration)
  return migrationRecords.require(migration.id)
}

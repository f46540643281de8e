import type { Migration, Pause } from '#shared/contracts/migration/migrations.ts'
import type { Event } from '#shared/contracts/core/events.ts'
import { event, now } from '#shared/events/event.ts'
import { maxPauseMs } from './forecast/forecast.ts'
import type { MigrationRecord } from './model.ts'

type Measured = Pick<MigrationRecord, 'migration_type' | 'statistics' | 'is_paused' | 'is_off'>

/** The measured pause of a guest that has moved while it ran; null for another one, or when it was not measured. */
export function pauseOf({ migration_type, statistics, is_paused, is_off }: Measured): Migration['pause'] {
  const measured_ms = statistics?.downtime_ms ?? null
  if (migration_type === 'offline' || measured_ms === null || is_paused || is_off) return null
  const allowed_ms = maxPauseMs[migration_type]
  return { measured_ms, allowed_ms, is_exceeded: measured_ms > allowed_ms }
}

/** Words for a pause that was longer than planned; null for another one. */
export const warningOf = (pause: Pause | null): string | null =>
  pause?.is_exceeded
    ? `The guest stood still for ${pause.measured_ms} ms; at most ${pause.allowed_ms} ms were planned`
    : null

/** The alert of an online migration, which promises its pause, when that was longer. */
export function alertsOf(migration: MigrationRecord): Event[] {
  const warning = warningOf(pauseOf(migration))
  if (migration.migration_type !== 'online' || warning === null) return []
  const { id, vm_id, vm_name, source_node, target_node } = migration
  const about = {
    alert_id: `migration-pause-${id}`,
    name: 'migration_pause',
    severity: 'warning' as const,
    resource: `/api/vms/${vm_id}`,
    message: `Online migration of '${vm_name}' from '${source_node}' to '${target_node}': ${warning}`,
    timestamp: now(),
  }
  return [event('AlertTriggered', about)]
}

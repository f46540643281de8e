import { expect, test } from 'vitest'
import { alertsOf, pauseOf, warningOf } from '../../../services/migration/pause.ts'
import type { MigrationRecord } from '../../../services/migration/model.ts'

const moved = (migration_type: 'live' | 'online' | 'offline', downtime_ms: number | null, more = {}) =>
  ({
    id: 'm1',
    vm_id: 'web',
    vm_name: 'Web',
    source_node: 'n1',
    target_node: 'n2',
    migration_type,
    is_off: false,
    is_paused: false,
    // Only the pause of the numbers is read.
    statistics: downtime_ms === null ? null : { downtime_ms },
    ...more,
  }) as MigrationRecord

test('a pause is measured against the one that was planned for the type', () => {
  expect(pauseOf(moved('online', 500))).toEqual({ measured_ms: 500, allowed_ms: 500, is_exceeded: false })
  expect(pauseOf(moved('online', 501))).toMatchObject({ is_exceeded: true })
  expect(pauseOf(moved('live', 301))).toEqual({ measured_ms: 301, allowed_ms: 300, is_exceeded: true })
  expect(warningOf(pauseOf(moved('live', 301)))).toBe('The guest stood still for 301 ms; at most 300 ms were planned')
  expect(warningOf(pauseOf(moved('live', 300)))).toBeNull()
})

test('a guest that stood still before, or was off, has no pause, and one that was not measured none that is known', () => {
  const all = [moved('offline', 900), moved('live', null), moved('live', 9, { is_paused: true })]
  expect([...all, moved('live', 9, { is_off: true })].map(pauseOf)).toEqual([null, null, null, null])
})

test('an online migration whose pause was too long is an alert, once by its id; others are none', () => {
  const [alert, ...more] = alertsOf(moved('online', 700))
  expect(more).toEqual([])
  expect(alert).toMatchObject({
    type: 'AlertTriggered',
    data: {
      alert_id: 'migration-pause-m1',
      severity: 'warning',
      resource: '/api/vms/web',
      message: expect.stringContaining('700 ms'),
    },
  })
  expect([...alertsOf(moved('online', 400)), ...alertsOf(moved('live', 900))]).toEqual([])
})

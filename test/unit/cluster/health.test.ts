import { describe, expect, test } from 'vitest'
import type { ChannelState } from '#shared/contracts/cluster/node-health.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { clockOf, found, healthFrom, recorded, unasked } from '../../../services/cluster/health/channels.ts'
import { clockChannel } from '../../../services/cluster/health/probe.ts'

const at = '2026-01-01T00:00:00.000Z'
const later = '2026-01-02T00:00:00.000Z'

describe('the clock of a node', () => {
  test('is a warning beyond a second, after the inexactness of the measurement', () => {
    expect(clockOf(1000, 0)).toMatchObject({ status: 'ok', skew_ms: 1000 })
    expect(clockOf(1100, 200)).toMatchObject({ status: 'ok' })
    expect(clockOf(600_000, 5)).toMatchObject({ status: 'warning', reason: expect.stringMatching(/600\.0 s ahead/) })
    expect(clockOf(-3000, 5)).toMatchObject({ status: 'warning', reason: expect.stringMatching(/3\.0 s behind/) })
  })

  test('is read by the date program of the node', async () => {
    const host = localHost()
    expect(await clockChannel(host)).toMatchObject({ status: 'ok' })
    const shifted = (by: string) => ({ run: () => host.run('date', ['--date', by, '+%s.%N']) })
    expect(await clockChannel(shifted('10 minutes'))).toMatchObject({ status: 'warning' })
    expect(await clockChannel(shifted('-1 hour'))).toMatchObject({ status: 'warning' })
    expect(await clockChannel({ run: () => host.run('echo', ['none']) })).toMatchObject({ status: 'unknown' })
  })
})

describe('the recorded state of a channel', () => {
  const before: ChannelState[] = [
    { ...clockOf(3000, 0), since: at },
    { ...found('storage', 'images', null), since: at },
  ]

  test('is not written again while nothing has changed, nor for the noise of a clock', () => {
    const [clock, storage] = before
    expect(recorded(before, [clockOf(3300, 0), found('storage', 'images', null)], later)).toEqual([clock, storage])
  })

  test('has the time of the last change of its status', () => {
    const changed = recorded(before, [clockOf(9000, 0), found('storage', 'images', 'not mounted')], later)
    expect(changed).toMatchObject([
      { skew_ms: 9000, since: at },
      { status: 'failed', reason: 'not mounted', since: later },
    ])
  })

  test('keeps its time when only the reason is another one', () => {
    const failed = [{ ...found('host', 'host', 'refused'), since: at }]
    expect(recorded(failed, [found('host', 'host', 'no route')], later)).toMatchObject([
      { reason: 'no route', since: at },
    ])
  })

  test('goes with a storage pool that is gone', () => {
    expect(recorded(before, [clockOf(3000, 0)], later)).toHaveLength(1)
  })
})

describe('the health of a node', () => {
  const engine = { kind: 'lxc', reason: null, version: null, components: {}, checked_at: at }
  const of = (channels: ReturnType<typeof found>[], status: 'online' | 'offline' | 'absent' = 'absent') =>
    healthFrom(
      {
        id: 'n',
        maintenance: false,
        channels: channels.map((each) => ({ ...each, since: at })),
        engines: [{ ...engine, status }],
      },
      () => ({ checked_at: later, age_seconds: 4 }),
    )
  const host = found('host', 'host', null)

  test('is the worst of its channels; an absent engine is none', () => {
    expect(of([host, clockOf(0, 0)]).status).toBe('ok')
    expect(of([host], 'offline').status).toBe('warning')
    expect(of([host, found('storage', 'a', 'gone')]).status).toBe('warning')
    expect(of([found('host', 'host', 'no route'), unasked('clock', 'clock', '')]).status).toBe('failed')
    expect(of([]).status).toBe('unknown')
  })

  test('has the reason, the time and the age of each channel', () => {
    expect(of([host, found('storage', 'a', 'gone')]).channels).toMatchObject([
      { channel: 'host', status: 'ok', since: at, checked_at: later, age_seconds: 4 },
      { channel: 'storage', subject: 'a', status: 'failed', reason: 'gone', since: at, checked_at: later },
      { channel: 'engine', subject: 'lxc', status: 'absent', since: at, age_seconds: 4 },
    ])
  })
})

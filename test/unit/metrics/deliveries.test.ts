import { describe, expect, test } from 'vitest'
import { afterFailure, delayMs, outcomeOf } from '../../../services/metrics/outlets/backoff.ts'
import { signatureOf } from '../../../services/metrics/outlets/message.ts'
import { marked, queueOf } from '../../../services/metrics/outlets/pump.ts'
import { at, record } from './records.ts'

describe('a delivery', () => {
  test('is tried again with a growing pause up to 15 minutes, for a day', () => {
    expect([1, 2, 3, 8, 9, 50].map((attempts) => delayMs(attempts) / 1000)).toEqual([5, 10, 20, 640, 900, 900])
    const failed = { is: 'failed', error: '' } as const
    expect(afterFailure({ attempts: 3, madeAt: 0 }, failed, 1000)).toEqual({ state: 'waiting', nextAt: 21_000 })
    expect(afterFailure({ attempts: 99, madeAt: 0 }, failed, 86_400_000)).toMatchObject({ state: 'failed' })
    expect(afterFailure({ attempts: 1, madeAt: 0 }, { ...failed, final: true }, 0)).toMatchObject({ state: 'failed' })
  })

  test('is final after 4xx, except those that say later, and waits as long as Retry-After says', () => {
    expect(outcomeOf(204, null, 0)).toEqual({ is: 'sent' })
    expect(outcomeOf(400, null, 0)).toMatchObject({ is: 'failed', final: true })
    expect(outcomeOf(301, null, 0)).toMatchObject({ is: 'failed', final: true })
    expect(outcomeOf(500, null, 0)).toEqual({ is: 'failed', error: 'The receiver answered 500' })
    expect(outcomeOf(429, '120', 0)).toMatchObject({ againMs: 120_000 })
    expect(outcomeOf(429, new Date(60_000).toUTCString(), 0)).toMatchObject({ againMs: 60_000 })
    expect(delayMs(1, 120_000)).toBe(120_000)
  })

  test('that tells the end tells the beginning too, if that waits as well', () => {
    const waiting = (event: 'triggered' | 'resolved', outlet = 'x') => ({
      id: `a.${event}.${outlet}`,
      outlet,
      event,
      state: 'waiting' as const,
      attempts: 0,
      next_at: at(0),
      error: null,
      made_at: at(event === 'triggered' ? 0 : 5),
      sent_at: null,
    })
    const deliveries = [waiting('triggered'), waiting('triggered', 'y'), waiting('resolved')]
    const queue = queueOf('x', [record({ deliveries })])
    expect(queue.map(({ delivery }) => delivery.event)).toEqual(['resolved'])
    const after = marked(deliveries, queue[0]!.delivery, { is: 'sent' }, 9000)
    expect(after.map(({ state }) => state)).toEqual(['merged', 'waiting', 'sent'])
    const failed = marked(deliveries, queue[0]!.delivery, { is: 'failed', error: 'no' }, 9000)
    expect(failed.map(({ state }) => state)).toEqual(['waiting', 'waiting', 'waiting'])
    expect(failed[2]).toMatchObject({ attempts: 1, error: 'no', next_at: at(14) })
  })

  test('is signed over its time and body', () => {
    // RFC 4231 has no case with a dot: openssl dgst -sha256 -hmac key of "1.{}".
    expect(signatureOf('key', '1', '{}')).toMatch(/^sha256=[0-9a-f]{64}$/)
    expect(signatureOf('key', '1', '{}')).not.toBe(signatureOf('key', '2', '{}'))
  })
})

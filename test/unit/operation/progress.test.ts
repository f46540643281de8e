import { expect, test } from 'vitest'
import { mayTell } from '#shared/operation/progress.ts'

const until = (ms: number) => ({ holder: 'here', until: new Date(Date.now() + ms).toISOString() })

test('progress is told only while the lease holds and the operation has not ended', () => {
  expect(mayTell({ ended_at: null, lease: until(60_000) })).toBe(true)
  expect(mayTell({ ended_at: null, lease: until(-1) })).toBe(false)
  expect(mayTell({ ended_at: null, lease: null })).toBe(false)
  expect(mayTell({ ended_at: '2026-01-01T00:00:00.000Z', lease: until(60_000) })).toBe(false)
})

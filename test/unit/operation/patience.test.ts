import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { ConflictError, UnavailableError } from '#shared/errors.ts'
import { patiently } from '#shared/operation/patience.ts'

beforeEach(() => vi.useFakeTimers({ toFake: ['Date'] }))
afterEach(() => vi.useRealTimers())

/** Does not answer, however long it is waited for. */
const silent = (seconds: number) => {
  vi.setSystemTime(Date.now() + seconds * 1000)
  return Promise.reject(new UnavailableError("The service 'volumes' did not answer"))
}

test('a call that timed out is repeated once, however long it took', async () => {
  let tries = 0
  expect(await patiently(() => (tries++ === 0 ? silent(60) : Promise.resolve('made')))).toBe('made')
  expect(tries).toBe(2)
})

test('a silent service is given up 40 s after its silence is noticed; a refused call fails at once', async () => {
  const away = vi.fn(() => silent(30))
  await expect(patiently(away)).rejects.toThrow('did not answer')
  expect(away).toHaveBeenCalledTimes(3)
  const refused = vi.fn(() => Promise.reject(new ConflictError('no')))
  await expect(patiently(refused)).rejects.toThrow('no')
  expect(refused).toHaveBeenCalledOnce()
})

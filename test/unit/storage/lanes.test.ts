import { expect, test } from 'vitest'
import { answer, stuckIn } from '../../../services/storage/pools/lanes.ts'
import { UnavailableError } from '#shared/errors.ts'

const soon = { withinMs: 5 }

test('an answer in time, or an error, is passed on', async () => {
  expect(await answer('a', 'It', () => Promise.resolve(7))).toBe(7)
  await expect(answer('a', 'It', () => Promise.reject(new Error('its own')))).rejects.toThrow('its own')
  expect(stuckIn('a')).toBe(0)
})

test('late calls are counted until they end; with four no further one is started, and others are not touched', async () => {
  const endings: (() => void)[] = []
  let started = 0
  const hanging = () =>
    new Promise<void>((resolve) => {
      started++
      endings.push(resolve)
    })
  for (let call = 1; call <= 4; call++)
    await expect(answer('b', 'It', hanging, soon)).rejects.toThrow(`It does not answer within 0.005 s; ${call} call(s)`)
  await expect(answer('b', 'It', hanging, soon)).rejects.toBeInstanceOf(UnavailableError)
  expect(started).toBe(4)
  expect(await answer('c', 'Other', () => Promise.resolve(1), soon)).toBe(1)
  for (const end of endings) end()
  await Promise.resolve()
  expect(await answer('b', 'It', () => Promise.resolve(2))).toBe(2)
  expect(stuckIn('b')).toBe(0)
})

import { describe, expect, test, vi } from 'vitest'
import { backOffMs } from '#shared/nodes/libvirt/connection/host-connection.ts'
import type { Outcome } from '#shared/nodes/libvirt/worker/pool.ts'
import { queue } from '#shared/nodes/libvirt/connection/queue.ts'

/** A call that ends when it is told to. */
const call = () => {
  const { promise, resolve } = Promise.withResolvers<Outcome<string>>()
  const abandon = vi.fn()
  const begin = vi.fn(() => ({ outcome: promise, abandon }))
  return { begin, abandon, end: (value: string) => resolve({ ok: true, value }) }
}
const room = { quick: 1, slow: 1 }
const oneSession = () => 'session'
const soon = { ms: 1, error: () => new Error('late') }

describe('the calls of a connection', () => {
  test('begin in order, as many at once as their lane has room for', async () => {
    const calls = queue(room, oneSession)
    const [first, second, slow] = [call(), call(), call()]
    const answers = [calls.add('quick', first.begin), calls.add('quick', second.begin), calls.add('slow', slow.begin)]
    expect([first, second, slow].map(({ begin }) => begin.mock.calls.length)).toEqual([1, 0, 1])
    first.end('a')
    await answers[0]
    await vi.waitFor(() => expect(second.begin).toHaveBeenCalled(), { timeout: 60_000 })
    second.end('b')
    slow.end('c')
    expect(await Promise.all(answers)).toEqual(['a', 'b', 'c'].map((value) => ({ ok: true, value })))
  })

  test('wait for a session, and begin when there is one', async () => {
    let free: string | undefined
    const calls = queue(room, () => free)
    const one = call()
    const answer = calls.add('quick', one.begin)
    expect(one.begin).not.toHaveBeenCalled()
    free = 'late session'
    calls.proceed()
    expect(one.begin).toHaveBeenCalledWith('late session')
    one.end('x')
    expect(await answer).toEqual({ ok: true, value: 'x' })
  })

  test('past the limit the caller is let go, and the call keeps its place', async () => {
    const calls = queue(room, oneSession)
    const [hung, next] = [call(), call()]
    await expect(calls.add('quick', hung.begin, soon)).rejects.toThrow('late')
    expect(hung.abandon).toHaveBeenCalled()
    const waiting = calls.add('quick', next.begin)
    expect(next.begin).not.toHaveBeenCalled()
    hung.end('')
    await vi.waitFor(() => expect(next.begin).toHaveBeenCalled(), { timeout: 60_000 })
    next.end('')
    await waiting
  })

  test('one that waited too long never begins', async () => {
    const calls = queue(room, oneSession)
    const [hung, next] = [call(), call()]
    void calls.add('quick', hung.begin)
    await expect(calls.add('quick', next.begin, soon)).rejects.toThrow('late')
    hung.end('')
    calls.proceed()
    expect(next.begin).not.toHaveBeenCalled()
  })

  test('all fail when the connection ends', async () => {
    const calls = queue(room, oneSession)
    const [begun, waiting, slow] = [call(), call(), call()]
    const answers = Promise.allSettled([
      calls.add('quick', begun.begin),
      calls.add('quick', waiting.begin),
      calls.add('slow', slow.begin),
    ])
    calls.fail(new Error('over'), ['quick', 'slow'], 'all')
    for (const answer of await answers)
      expect(answer).toMatchObject({ status: 'rejected', reason: { message: 'over' } })
    expect(begun.abandon).toHaveBeenCalled()
  })
})

test('the time between attempts doubles from half a second to ten', () => {
  expect([0, 1, 2, 3, 4, 5, 50, 5_000].map(backOffMs)).toEqual([
    500, 1_000, 2_000, 4_000, 8_000, 10_000, 10_000, 10_000,
  ])
})

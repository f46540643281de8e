import { describe, expect, test } from 'vitest'
import { coalesced } from '#shared/runtime/single-flight.ts'

/** Work that ends when it is told to, and knows how often it was begun. */
function workOf() {
  const runs: { key: string; end: PromiseWithResolvers<number> }[] = []
  const ask = coalesced((key) => {
    const end = Promise.withResolvers<number>()
    runs.push({ key, end })
    return end.promise
  })
  return { runs, ask }
}
const turn = () => new Promise((resolve) => setImmediate(resolve))

describe('work that many ask for at once', () => {
  test('runs once more for the callers that come while it runs, once for all of them', async () => {
    const { runs, ask } = workOf()
    const first = ask('a')
    const others = [ask('a'), ask('a'), ask('a')]
    await turn()
    expect(runs).toHaveLength(1)
    runs[0]!.end.resolve(1)
    expect(await first).toBe(1)
    await turn()
    expect(runs).toHaveLength(2)
    const late = ask('a')
    runs[1]!.end.resolve(2)
    expect(await Promise.all(others)).toEqual([2, 2, 2])
    await turn()
    runs[2]!.end.resolve(3)
    expect(await late).toBe(3)
    expect(runs).toHaveLength(3)
  })

  test('of one key does not wait for that of another', async () => {
    const { runs, ask } = workOf()
    void ask('a')
    void ask('b')
    expect(runs.map(({ key }) => key)).toEqual(['a', 'b'])
  })

  test('that fails fails for all its callers, and runs again for the next one', async () => {
    const { runs, ask } = workOf()
    const first = ask('a')
    const second = ask('a')
    runs[0]!.end.reject(new Error('no'))
    await expect(first).rejects.toThrow('no')
    await turn()
    runs[1]!.end.resolve(2)
    expect(await second).toBe(2)
    await turn()
    const third = ask('a')
    expect(runs).toHaveLength(3)
    runs[2]!.end.resolve(3)
    expect(await third).toBe(3)
  })
})

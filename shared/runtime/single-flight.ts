/**
 * Work that many ask for at once, one run after the other for each key: whoever asks while it runs shares the one run
 * that begins when that has ended, so that everybody gets one which began after they asked.
 */
export function coalesced<T>(work: (key: string) => Promise<T>): (key: string) => Promise<T> {
  const running = new Map<string, Promise<T>>()
  const waiting = new Map<string, Promise<T>>()
  const begin = (key: string): Promise<T> => {
    waiting.delete(key)
    const run = work(key).finally(() => running.get(key) === run && running.delete(key))
    running.set(key, run)
    return run
  }
  return (key) => {
    const before = running.get(key)
    if (!before) return begin(key)
    const known = waiting.get(key)
    if (known) return known
    const next = before.then(
      () => begin(key),
      () => begin(key),
    )
    waiting.set(key, next)
    return next
  }
}

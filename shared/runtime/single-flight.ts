/**
 * Merges concurrent calls of some work, for each key: calls that come while it runs share the one run that begins after
 * that, so that every caller gets a run that began after its call.
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

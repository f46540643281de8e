import type { Labels, Selector } from '#shared/contracts/container/network-policies.ts'

/** Scope of selectors that look at every scope. */
export const everyScope = '*'

type Buckets<T> = { byPair: Map<string, Set<T>>; others: Set<T> }

/** The pair that a selector requires, if it requires any; one is enough to find it by. */
function pairOf({ match_labels = {} }: Selector): string | undefined {
  const [pair] = Object.entries(match_labels)
  return pair && `${pair[0]}=${pair[1]}`
}

/** Finds things by a selector without trying them all: by their scope, and by one label that they require. */
export type LabelIndex<T> = {
  add: (scope: string, selector: Selector, item: T) => void
  remove: (scope: string, selector: Selector, item: T) => void
  /** Items whose selector may fit: all that do, and some that do not. */
  candidates: (scopes: readonly string[], labels: Labels) => Set<T>
}

export function labelIndex<T>(): LabelIndex<T> {
  const scopes = new Map<string, Buckets<T>>()
  const bucketOf = (scope: string, selector: Selector): Set<T> => {
    const buckets = scopes.get(scope) ?? { byPair: new Map<string, Set<T>>(), others: new Set<T>() }
    scopes.set(scope, buckets)
    const pair = pairOf(selector)
    if (pair === undefined) return buckets.others
    const bucket = buckets.byPair.get(pair) ?? new Set<T>()
    buckets.byPair.set(pair, bucket)
    return bucket
  }
  return {
    add: (scope, selector, item) => void bucketOf(scope, selector).add(item),
    remove: (scope, selector, item) => void bucketOf(scope, selector).delete(item),
    candidates: (asked, labels) => {
      const found = new Set<T>()
      for (const scope of asked) {
        const buckets = scopes.get(scope)
        if (!buckets) continue
        for (const item of buckets.others) found.add(item)
        for (const [key, value] of Object.entries(labels))
          for (const item of buckets.byPair.get(`${key}=${value}`) ?? []) found.add(item)
      }
      return found
    },
  }
}

/** Finds things that have labels by a selector: by their scope, and by one label that it requires. */
export type LabelledIndex<T> = {
  add: (scopes: readonly string[], labels: Labels, item: T) => void
  remove: (scopes: readonly string[], labels: Labels, item: T) => void
  candidates: (scope: string, selector: Selector) => Iterable<T>
}

export function labelledIndex<T>(): LabelledIndex<T> {
  const found = new Map<string, Set<T>>()
  const keysOf = (scopes: readonly string[], labels: Labels) =>
    [everyScope, ...scopes].flatMap((scope) => [
      `${scope}/`,
      ...Object.entries(labels).map(([key, value]) => `${scope}/${key}=${value}`),
    ])
  return {
    add: (scopes, labels, item) => {
      for (const key of keysOf(scopes, labels)) {
        const bucket = found.get(key) ?? new Set<T>()
        found.set(key, bucket.add(item))
      }
    },
    remove: (scopes, labels, item) => {
      for (const key of keysOf(scopes, labels)) found.get(key)?.delete(item)
    },
    candidates: (scope, selector) => found.get(`${scope}/${pairOf(selector) ?? ''}`) ?? [],
  }
}

import { laneOf, nameOf, type Placed, requireIdentity } from './identity.ts'
import { answer } from './lanes.ts'

type Verb = (...args: unknown[]) => unknown

/** Verbs that look at nothing outside. */
const pure = new Set(['sourceOn', 'toolFile', 'bytesNeeded'])
/** Verbs that change nothing: they have an answer in time or none. */
const queries = new Set(['exists', 'find', 'usage', 'stat'])
/**
 * The verbs of a storage pool for volumes or objects, and of the parts in them, guarded. Before each verb that changes
 * something the identity of the storage pool is verified. Storage that hangs is an UnavailableError within 5 seconds.
 */
export function guarded<T extends object>(verbs: T, placed: Placed): T {
  const entries = Object.entries(verbs).map(([name, verb]: [string, unknown]) => {
    if (typeof verb === 'function') return [name, guardOne(name, verb as Verb, placed)]
    return [name, typeof verb === 'object' && verb !== null ? guarded(verb, placed) : verb]
  })
  // The same names, and functions of the same parameters and results.
  return Object.fromEntries(entries) as T
}

function guardOne(name: string, verb: Verb, placed: Placed): Verb {
  if (pure.has(name)) return verb
  const [lane, words] = [laneOf(placed), nameOf(placed)]
  if (queries.has(name)) return (...args) => answer(lane, words, async () => verb(...args))
  // The query of the identity ends in time when the storage hangs.
  return async (...args) => {
    await requireIdentity(placed)
    return verb(...args)
  }
}

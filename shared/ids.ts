import { v5, v7 } from 'uuid'
import { current } from '#shared/current.ts'

const namespace = 'c1e3b4a2-6d0f-5a57-9a0e-5f2f0a8f7c11'

/** The same name gives the same UUID (v5), on every machine. */
export const idFrom = (name: string) => v5(name, namespace)

/**
 * A new id (UUID v7, in the order of time). Within a call that carries an idempotency key the ids follow from the key,
 * so that a call that is repeated after a crash makes the same thing and not a second one.
 */
export function newId(): string {
  const call = current()
  if (!call?.idempotency) return v7()
  return idFrom(`${call.idempotency.seed}/${call.idempotency.count++}`)
}

/** Whether {@link newId} made this id in this call, out of its idempotency key: then it may have been made before. */
export function isRepeatable(id: string): boolean {
  const { seed, count } = current()?.idempotency ?? { seed: '', count: 0 }
  return Array.from({ length: count }, (_, index) => idFrom(`${seed}/${index}`)).includes(id)
}

import { setImmediate as nextTurn } from 'node:timers/promises'
import { log } from '#shared/runtime/log.ts'
import { bus, isBusConnected, isBusSettled } from '#shared/bus/bus.ts'

const answersWithinMs = 1000

/**
 * True if this process receives all notices. In a NATS cluster the servers forward messages at different times, so that
 * a PONG of one is no evidence about the others.
 */
const isHearing = () => !isDeaf && isBusConnected() && isBusSettled() && (bus().nats.info?.cluster ?? '') === ''

let isDeaf = false

/** NATS does not let this process hear of changes: nothing that is kept can be trusted. */
export function becomeDeaf(error: Error): void {
  isDeaf = true
  log('store').error({ err: error }, 'changes are not heard; every question goes to the store')
}

let next: Promise<boolean> | undefined

/**
 * Waits until this process has received all notices that the bus had when this was called: NATS answers a PING after
 * everything it had to deliver before. Calls in the same turn of the event loop share one PING.
 * @returns false if that cannot be known
 */
export async function hasHeardAll(): Promise<boolean> {
  if (!isHearing()) return false
  return (next ??= ping())
}

async function ping(): Promise<boolean> {
  await nextTurn()
  next = undefined
  return flushBus()
}

/** Waits until the bus has what was published. @returns false when it does not say so */
export async function flushBus(): Promise<boolean> {
  if (!isBusConnected()) return false
  const { promise: late, resolve } = Promise.withResolvers<boolean>()
  const timer = setTimeout(() => resolve(false), answersWithinMs)
  const flushed = bus()
    .nats.flush()
    .then(
      () => isBusConnected(),
      () => false,
    )
  return Promise.race([flushed, late]).finally(() => clearTimeout(timer))
}

import { setImmediate as nextTurn } from 'node:timers/promises'
import { log } from '#shared/runtime/log.ts'
import { bus, isBusConnected, isBusSettled } from '#shared/bus/bus.ts'

const answersWithinMs = 1000

/**
 * Whether what this process hears can be all there is to hear. Servers of a NATS cluster pass on what they get at
 * different times, so that a PONG of one says nothing of what another has taken.
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
 * Waits until this process has heard whatever the bus had taken when this was called: NATS answers a PING after all that
 * it had to deliver before. Whoever asks in the same turn shares one PING. @returns false when that cannot be known
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

import { hostname } from 'node:os'
import { randomBytes } from 'node:crypto'
import { Errors, ServiceBroker } from 'moleculer'
import { AppError, NotServedError, type PackedError, packError, UnavailableError, unpackError } from '#shared/errors.ts'
import { connectionOf } from '#shared/bus/identity/connection.ts'
import { nodeIdOf } from '#shared/bus/identity/subjects.ts'
import { log } from '#shared/runtime/log.ts'
import { FramingSerializer } from '#shared/bus/serializer.ts'
import { BusTransporter } from '#shared/bus/transporter.ts'

/** Calls end after this long, unless the caller says otherwise. Milliseconds. */
export const requestTimeoutMs = 4500

/** Gives an error that came over the bus its class back, so that `instanceof` works across processes. */
class Regenerator extends Errors.Regenerator {
  override extractPlainError(error: Error): never {
    if (isNotServed(error)) return packError(new NotServedError(error.message)) as never
    // The serving process too ends a call when its time is over.
    const { action = 'bus' } = (error as { data?: { action?: string } }).data ?? {}
    return packError(translateBusError(error, action)) as never
  }
  override restoreCustomError(plain: Errors.PlainMoleculerError): Error {
    // It is what `extractPlainError` has packed.
    return unpackError(plain as unknown as PackedError)
  }
}

/** Moleculer's broker of this process. A killed process leaves the registry within 5 s (heartbeats of 1 s and 3 s). */
export function createBroker(name: string): ServiceBroker {
  const logger = log('bus')
  return new ServiceBroker({
    nodeID: nodeIdOf(name, `${hostname()}-${process.pid}-${randomBytes(3).toString('hex')}`),
    transporter: new BusTransporter(connectionOf(name) as never) as never,
    serializer: new FramingSerializer() as never,
    // The library types neither `false` for its own log nor a regenerator with other hooks.
    logger: false,
    errorRegenerator: new Regenerator() as never,
    internalServices: false,
    // Moleculer's own signal handlers would end the process before the rest of it has stopped.
    skipProcessEventRegistration: true,
    requestTimeout: requestTimeoutMs,
    heartbeatInterval: 1,
    heartbeatTimeout: 3,
    validator: false as never,
    registry: { preferLocal: true },
    // The default announces a process's services a second late.
    transit: { serviceChangedDebounceTime: 50 } as never,
    tracking: { enabled: true, shutdownTimeout: 3000 },
    errorHandler: (error) => {
      throw error
    },
    started: () => logger.debug('connected'),
  })
}

const isNotServed = (error: unknown) =>
  error instanceof Errors.ServiceNotFoundError || error instanceof Errors.ServiceNotAvailableError

/**
 * Delivery of a call that ended with this error. `unsent`: no process received it. `lost`: the process that worked on
 * it has gone, and its progress is unknown. Undefined: it was answered, with this error.
 */
export function deliveryOf(error: unknown): 'unsent' | 'lost' | undefined {
  if (error instanceof Errors.ServiceNotAvailableError || error instanceof Errors.BrokerDisconnectedError)
    return 'unsent'
  if (error instanceof UnavailableError && error.details['not_served'] === true) return 'unsent'
  if (error instanceof Errors.RequestRejectedError) return 'lost'
  return undefined
}

/** Checks that a call ended without an answer, whether a process received it or not. */
export const isUndelivered = (error: unknown): boolean =>
  deliveryOf(error) !== undefined || error instanceof Errors.RequestTimeoutError

/** Maps Moleculer's errors of delivery to an UnavailableError that names the service. */
export function translateBusError(error: unknown, action: string): unknown {
  if (error instanceof AppError) return error
  const service = action.split('.')[0]
  if (error instanceof Errors.BrokerDisconnectedError)
    return new UnavailableError('The message bus does not answer', { retryAfterSeconds: 2, cause: error })
  if (isNotServed(error))
    return new UnavailableError(`The service '${service}' is not running`, {
      details: { service },
      retryAfterSeconds: 2,
      cause: error,
    })
  if (error instanceof Errors.RequestTimeoutError || error instanceof Errors.RequestRejectedError)
    return new UnavailableError(`The service '${service}' did not answer`, {
      details: { service },
      retryAfterSeconds: 2,
      cause: error,
    })
  return error
}

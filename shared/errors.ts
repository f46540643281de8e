/**
 * The errors that a caller can act on. Each class is one row of the error table in the API guide; anything else that is
 * thrown is a bug: it is logged with its stack and answered 500 without it. Errors of a tool that a driver must translate
 * (CommandError, LibvirtFailure) never cross the bus and stand beside their tool.
 */
export type Violation = { field: string; code: string; message: string }

type Details = Record<string, unknown>
type Options = { details?: Details; retryable?: boolean; cause?: unknown }

export abstract class AppError extends Error {
  /** HTTP status. */
  abstract readonly status: number
  /** The stable, machine-readable word of the error body, such as `NOT_FOUND`. */
  abstract readonly error: string
  readonly details: Details
  readonly retryable: boolean

  constructor(message: string, { details = {}, retryable = false, cause }: Options = {}) {
    super(message, cause === undefined ? undefined : { cause })
    this.name = new.target.name
    this.details = details
    this.retryable = retryable
  }
}

export class BadRequestError extends AppError {
  readonly status = 400
  readonly error = 'BAD_REQUEST'
}

export class AuthenticationError extends AppError {
  readonly status = 401
  readonly error = 'AUTHENTICATION_FAILED'
}

export class ForbiddenError extends AppError {
  readonly status = 403
  readonly error = 'FORBIDDEN'
}

export class NotFoundError extends AppError {
  readonly status = 404
  readonly error = 'NOT_FOUND'
}

export class ConflictError extends AppError {
  readonly status = 409
  readonly error = 'CONFLICT'
}

export class PreconditionFailedError extends AppError {
  readonly status = 412
  readonly error = 'PRECONDITION_FAILED'
}

/** Carries every violation at once; `details.violations` holds them so that they survive the bus. */
export class ValidationError extends AppError {
  readonly status = 422
  readonly error = 'VALIDATION_ERROR'

  constructor(violations: Violation[], options: Options = {}) {
    super(violations.map(({ field, message }) => `${field}: ${message}`).join('; '), {
      ...options,
      details: { ...options.details, violations },
    })
  }

  get violations(): Violation[] {
    return this.details['violations'] as Violation[]
  }
}

export class RateLimitedError extends AppError {
  readonly status = 429
  readonly error = 'RATE_LIMITED'
}

/** A bug of ours, as another process hears of it: the message is generic, the log of the process has the stack. */
export class InternalError extends AppError {
  readonly status = 500
  readonly error = 'INTERNAL_ERROR'
}

/** A service, host, daemon or store that does not answer. `retryAfterSeconds` becomes the `Retry-After` header. */
export class UnavailableError extends AppError {
  readonly status = 503
  readonly error = 'SERVICE_UNAVAILABLE'

  constructor(message: string, { retryAfterSeconds = 5, ...options }: Options & { retryAfterSeconds?: number } = {}) {
    super(message, {
      ...options,
      retryable: true,
      details: { ...options.details, retry_after_seconds: retryAfterSeconds },
    })
  }
}

/** The bus answered that a replica, which is just stopping, does not serve the action any more: the call never ran. */
export class NotServedError extends UnavailableError {
  constructor(message: string) {
    super(message, { details: { not_served: true }, retryAfterSeconds: 2 })
  }
}

/** Fastify's limit of the body: the one bad request that HTTP has a status of its own for. */
export class TooLargeError extends AppError {
  readonly status = 413
  readonly error = 'BAD_REQUEST'
}

/** A `Range` behind the end of a file. */
export class UnsatisfiableRangeError extends AppError {
  readonly status = 416
  readonly error = 'BAD_REQUEST'
}

export class LongHeadersError extends AppError {
  readonly status = 431
  readonly error = 'BAD_REQUEST'
}

/** The request did not arrive whole in time. */
export class SlowRequestError extends AppError {
  readonly status = 408
  readonly error = 'BAD_REQUEST'
}

/** A user has cancelled the operation. */
export class CancelledError extends AppError {
  readonly status = 409
  readonly error = 'CONFLICT'
  constructor() {
    super('Cancelled', { details: { cancelled: true } })
  }
}

/** The process is stopping: the operation stays as it is, for the replica that takes it over. */
export class HandoverError extends AppError {
  readonly status = 503
  readonly error = 'SERVICE_UNAVAILABLE'
}

/** Another process has taken the operation over, or may have: nothing that this run still does may have an effect. */
export class LostLeaseError extends AppError {
  readonly status = 409
  readonly error = 'CONFLICT'
}

/** The sender of a call has given it up, or sent it to another replica, before this one came to it: nothing was changed. */
export class LateCallError extends AppError {
  readonly status = 503
  readonly error = 'SERVICE_UNAVAILABLE'
}

/** The journal holds steps that this version of the work does not know: the operation must not go on. */
export class ChangedStepsError extends AppError {
  readonly status = 409
  readonly error = 'CONFLICT'
}

/** 404 with the wording of the API: "Virtual machine 'x' not found". */
export const notFound = (kind: string, id: string) =>
  new NotFoundError(`${kind} '${id}' not found`, { details: { kind, id } })

/** 409 with the wording of the API: "x already exists". */
export const alreadyExists = (id: string, details: Details = {}) =>
  new ConflictError(`${id} already exists`, { details: { id, ...details } })

/** 422 with one violation. */
export const invalid = (field: string, message: string, code = 'invalid') =>
  new ValidationError([{ field, code, message }])

/** An error as it travels and is stored: class, words and details, never a stack. */
export type PackedError = { name: string; message: string; details: Details; retryable: boolean }

export function packError(error: unknown): PackedError {
  if (!(error instanceof AppError))
    return { name: 'InternalError', message: 'Internal error', details: {}, retryable: false }
  const { message, details, retryable } = error
  return { name: knownClass(error), message, details, retryable }
}

/** An error of a more special class travels as the one of the table that it extends, or that has its status. */
function knownClass(error: AppError): string {
  const bySelfOrParent = Object.entries({ ...classes, ValidationError }).find(([, known]) => error instanceof known)
  const byStatus = Object.entries(classes).find(([, known]) => new known('').status === error.status)
  return (bySelfOrParent ?? byStatus)?.[0] ?? 'InternalError'
}

const classes = {
  BadRequestError,
  AuthenticationError,
  ForbiddenError,
  NotFoundError,
  ConflictError,
  PreconditionFailedError,
  RateLimitedError,
  UnavailableError,
}

/** The error that {@link packError} packed, with its class. */
export function unpackError({ name, message, details, retryable }: PackedError): AppError {
  if (name === 'ValidationError') return new ValidationError(details['violations'] as Violation[], { details })
  const known = classes[name as keyof typeof classes] ?? InternalError
  const retryAfterSeconds = details?.['retry_after_seconds'] as number | undefined
  return new known(message, { details, retryable, ...(retryAfterSeconds !== undefined && { retryAfterSeconds }) })
}

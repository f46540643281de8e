/** libvirt's errors (libvirt/virterror.h) as those of shared/errors.ts. */
import { ConflictError, NotFoundError, UnavailableError, ValidationError, type AppError } from '#shared/errors.ts'
import type { Failure } from '../worker/ffi.ts'

type Kind = 'absent' | 'conflict' | 'busy' | 'invalid' | 'unsupported' | 'unavailable'

/** The meaning of each virErrorNumber for a caller. For other numbers, the part of libvirt that raised it decides. */
const kindOfCode: Readonly<Record<number, Kind>> = {
  2: 'unavailable', // NO_MEMORY
  3: 'unsupported', // NO_SUPPORT
  4: 'unavailable', // UNKNOWN_HOST
  5: 'unavailable', // NO_CONNECT
  6: 'unavailable', // INVALID_CONN
  8: 'invalid', // INVALID_ARG
  9: 'conflict', // OPERATION_FAILED, also of a domain that exists with another name
  16: 'invalid', // OS_TYPE
  20: 'invalid', // NO_TARGET
  21: 'invalid', // NO_NAME
  22: 'invalid', // NO_OS
  23: 'invalid', // NO_DEVICE
  27: 'invalid', // XML_ERROR
  28: 'conflict', // DOM_EXIST
  29: 'conflict', // OPERATION_DENIED
  35: 'invalid', // XML_DETAIL
  37: 'conflict', // NETWORK_EXIST
  39: 'unavailable', // RPC
  40: 'unavailable', // GNUTLS_ERROR
  42: 'absent', // NO_DOMAIN
  43: 'absent', // NO_NETWORK
  44: 'invalid', // INVALID_MAC
  45: 'unavailable', // AUTH_FAILED
  49: 'absent', // NO_STORAGE_POOL
  50: 'absent', // NO_STORAGE_VOL
  53: 'absent', // NO_NODE_DEVICE
  55: 'conflict', // OPERATION_INVALID
  57: 'absent', // NO_INTERFACE
  62: 'absent', // NO_NWFILTER
  66: 'absent', // NO_SECRET
  67: 'invalid', // CONFIG_UNSUPPORTED
  68: 'unavailable', // OPERATION_TIMEOUT
  72: 'absent', // NO_DOMAIN_SNAPSHOT
  74: 'unsupported', // ARGUMENT_UNSUPPORTED
  78: 'conflict', // OPERATION_ABORTED
  79: 'unavailable', // AUTH_CANCELLED
  80: 'absent', // NO_DOMAIN_METADATA
  82: 'invalid', // OVERFLOW
  84: 'unsupported', // OPERATION_UNSUPPORTED
  85: 'unavailable', // SSH
  86: 'busy', // AGENT_UNRESPONSIVE
  87: 'busy', // RESOURCE_BUSY
  90: 'conflict', // STORAGE_VOL_EXIST
  92: 'invalid', // XML_INVALID_SCHEMA
  94: 'unavailable', // AUTH_UNAVAILABLE
  97: 'busy', // AGENT_UNSYNCED
  98: 'unavailable', // LIBSSH
  99: 'absent', // DEVICE_MISSING
  103: 'absent', // NO_DOMAIN_CHECKPOINT
  104: 'absent', // NO_DOMAIN_BACKUP
  106: 'conflict', // NETWORK_PORT_EXIST
  107: 'absent', // NO_NETWORK_PORT
}

/** virErrorDomain of the wire: RPC, REMOTE, AUTH, SSH, LIBSSH. An error of these says nothing about the request. */
const transport = new Set([7, 13, 46, 50, 66])

const kindOf = ({ code, domain }: Failure): Kind =>
  transport.has(domain) ? 'unavailable' : (kindOfCode[code] ?? 'conflict')

/**
 * A failed call as the error to throw. libvirt's text is kept; `details` has `host`, `libvirt_code` and
 * `libvirt_domain`. Any other refusal is a conflict: the request reached the host.
 */
export const translate = (failure: Failure, host: string): AppError => {
  const { code, domain, message } = failure
  const options = { details: { host, libvirt_code: code, libvirt_domain: domain } }
  switch (kindOf(failure)) {
    case 'absent':
      return new NotFoundError(message, options)
    case 'invalid':
      return new ValidationError([{ field: 'definition', code: 'libvirt', message }], options)
    case 'unsupported':
      return new ConflictError(`Host '${host}' does not support this: ${message}`, options)
    case 'busy':
      return new ConflictError(message, { ...options, retryable: true })
    case 'unavailable':
      return new UnavailableError(`Host '${host}': ${message}`, options)
    case 'conflict':
      return new ConflictError(message, options)
  }
}

/** Nothing that fails while connecting is the caller's doing. */
export const translateConnect = ({ code, domain, message }: Failure, host: string): UnavailableError =>
  new UnavailableError(`Cannot reach libvirt on host '${host}': ${message}`, {
    details: { host, libvirt_code: code, libvirt_domain: domain },
  })

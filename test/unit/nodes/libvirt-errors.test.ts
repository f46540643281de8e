import { describe, expect, test } from 'vitest'
import { ConflictError, NotFoundError, UnavailableError, ValidationError } from '#shared/errors.ts'
import { translate, translateConnect } from '#shared/nodes/libvirt/connection/errors.ts'

const qemu = 10
const rpc = 7

describe("libvirt's errors in our terms", () => {
  test.each([
    ['NO_DOMAIN', 42, NotFoundError],
    ['NO_DOMAIN_SNAPSHOT', 72, NotFoundError],
    ['DEVICE_MISSING', 99, NotFoundError],
    ['OPERATION_INVALID', 55, ConflictError],
    ['DOM_EXIST', 28, ConflictError],
    ['OPERATION_FAILED', 9, ConflictError],
    ['NO_SUPPORT', 3, ConflictError],
    ['ARGUMENT_UNSUPPORTED', 74, ConflictError],
    ['OPERATION_UNSUPPORTED', 84, ConflictError],
    ['XML_ERROR', 27, ValidationError],
    ['XML_DETAIL', 35, ValidationError],
    ['XML_INVALID_SCHEMA', 92, ValidationError],
    ['INVALID_ARG', 8, ValidationError],
    ['CONFIG_UNSUPPORTED', 67, ValidationError],
    ['RPC', 39, UnavailableError],
    ['NO_CONNECT', 5, UnavailableError],
    ['OPERATION_TIMEOUT', 68, UnavailableError],
    ['a number of the future', 999, ConflictError],
  ] as const)('%s (%d)', (_, code, expected) => {
    const error = translate({ code, domain: qemu, message: 'libvirt says so' }, 'node1')
    expect(error).toBeInstanceOf(expected)
    expect(error.message).toContain('libvirt says so')
    expect(error.details).toMatchObject({ host: 'node1', libvirt_code: code, libvirt_domain: qemu })
  })

  test('an internal error is of the transport or of the request, depending on where it was raised', () => {
    const failure = { code: 1, message: 'internal error: client socket is closed' }
    expect(translate({ ...failure, domain: rpc }, 'node1')).toBeInstanceOf(UnavailableError)
    expect(translate({ ...failure, domain: qemu }, 'node1')).toBeInstanceOf(ConflictError)
  })

  test('a temporary error is retryable and names the host', () => {
    expect(translate({ code: 39, domain: rpc, message: 'gone' }, 'node1')).toMatchObject({
      retryable: true,
      message: "Host 'node1': gone",
    })
    expect(translate({ code: 86, domain: qemu, message: 'agent' }, 'node1')).toMatchObject({
      retryable: true,
      status: 409,
    })
  })

  test('every failure of connecting makes the host unavailable', () => {
    const error = translateConnect({ code: 38, domain: qemu, message: 'No such file' }, 'node1')
    expect(error).toBeInstanceOf(UnavailableError)
    expect(error.message).toBe("Cannot reach libvirt on host 'node1': No such file")
  })
})

/** Results of libvirt's functions: checks them, and reads and frees the objects. */
import { type Failure, lastFailure, readPointers, readText, type Library, type Pointer } from './ffi.ts'
import { decodeParameters, parameterSize, type Parameters } from './parameters.ts'

export class LibvirtFailure extends Error {
  readonly failure: Failure
  constructor(failure: Failure) {
    super(failure.message)
    this.failure = failure
  }
}

export const fail = (library: Library): never => {
  throw new LibvirtFailure(lastFailure(library))
}
export const done = (library: Library, result: number): number => (result < 0 ? fail(library) : result)
export const given = <T>(library: Library, result: T | null): T => result ?? fail(library)

const uuidBytes = Buffer.alloc(37)
const identity = (library: Library, domain: Pointer) => {
  done(library, library.virDomainGetUUIDString(domain, uuidBytes))
  return { uuid: uuidBytes.toString('latin1', 0, 36), name: given(library, library.virDomainGetName(domain)) }
}

export const withDomain = <T>(library: Library, conn: Pointer, uuid: string, use: (domain: Pointer) => T): T => {
  const domain = given(library, library.virDomainLookupByUUIDString(conn, uuid))
  try {
    return use(domain)
  } finally {
    library.virDomainFree(domain)
  }
}

export const takeDomain = (library: Library, domain: Pointer) => {
  try {
    return identity(library, domain)
  } finally {
    library.virDomainFree(domain)
  }
}

let parameterBytes = Buffer.alloc(64 * parameterSize)
/** Reads `count` virTypedParameters at an address, which stay libvirt's. */
export const readParameters = (library: Library, address: Pointer, count: number): Parameters => {
  const length = count * parameterSize
  if (length > parameterBytes.length) parameterBytes = Buffer.alloc(length * 2)
  if (length > 0) library.memcpy(parameterBytes, address, length)
  return decodeParameters(parameterBytes, count, readText)
}

export type Of<T> = T & { uuid: string; name: string }
/** `run`: libvirt's number of this run of the domain, another one at every start; -1 for one that does not run. */
export type OfRun<T> = Of<T> & { run: number }
const recordBytes = Buffer.alloc(24)

export const readRecords = <T>(
  library: Library,
  records: Pointer,
  count: number,
  shape: (all: Parameters) => T,
): OfRun<T>[] => {
  try {
    return readPointers(library, records, count).map((record) => {
      // struct { virDomainPtr dom; virTypedParameterPtr params; int nparams }
      library.memcpy(recordBytes, record, recordBytes.length)
      const domain = recordBytes.readBigUInt64LE(0)
      const { uuid, name } = identity(library, domain)
      const run = library.virDomainGetID(domain)
      const parameters = readParameters(library, recordBytes.readBigUInt64LE(8), recordBytes.readInt32LE(16))
      return Object.assign({ uuid, name, run }, shape(parameters))
    })
  } finally {
    library.virDomainStatsRecordListFree(records)
  }
}

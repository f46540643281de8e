import { crc32 } from 'node:zlib'
import { CommandError } from '../errors.ts'

/** CRC-32 of a document or an index key, together with its row number, so that neither can change unnoticed. */
export const rowChecksum = (bytes: Uint8Array, rid: number): number => crc32(bytes, rid >>> 0)

/** CRC-32 of the row of a collection or of an index in the catalog. */
export const catalogChecksum = (values: readonly (string | number)[], spec: Uint8Array = new Uint8Array()): number =>
  crc32(spec, crc32(JSON.stringify(values)))

const ADVICE = "the store's file is damaged: restore a backup"

export const damaged = (subject: string): CommandError => new CommandError(301, `${subject}; ${ADVICE}`)

/** The bytes of a document. @throws CommandError 301 when they are not those that were written */
export const checkedDocument = (namespace: string, rid: number, bytes: unknown, crc: unknown): Uint8Array => {
  if (!(bytes instanceof Uint8Array)) throw damaged(`An index of ${namespace} names document ${rid}, which is missing`)
  if (rowChecksum(bytes, rid) !== crc) throw damaged(`Document ${rid} of ${namespace} has a wrong checksum`)
  return bytes
}

/** @throws CommandError 301 when the entry is not the one that was written */
export const checkEntry = (namespace: string, rid: number, key: Uint8Array, crc: unknown): void => {
  if (rowChecksum(key, rid) !== crc) throw damaged(`An index entry of ${namespace} has a wrong checksum`)
}

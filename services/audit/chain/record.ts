import { hash as digest, randomBytes } from 'node:crypto'
import type { AuditEntry, AuditRecord } from '#shared/contracts/core/audit.ts'

/** `prev_hash` of the first record. */
export const noHash = '0'.repeat(64)

const sha256 = (value: unknown) => digest('sha256', JSON.stringify(value), 'hex')

/** Personal fields. They can be erased later. */
export const personalFields = ['user', 'address', 'path', 'message'] as const
export type PersonalField = (typeof personalFields)[number]

/** Commitment to a value that does not reveal it: without the salt it cannot be found by guessing. */
export function commit(field: PersonalField, salt: string, value: string | null) {
  return sha256(['horcrux-audit-field-1', field, salt, value])
}

/**
 * Hash of a record: over its other fields, the commitments of the personal fields, and the hash of the previous record.
 */
export function hashOf(record: Omit<AuditRecord, 'hash'>): string {
  return sha256([
    'horcrux-audit-1',
    record.seq,
    record.prev_hash,
    record.id,
    record.time,
    record.kind,
    record.action,
    record.result,
    record.severity,
    record.request_id,
    record.operation_id,
    record.before_hash,
    record.after_hash,
    ...personalFields.map((field) => record.commitments[field]),
  ])
}

const saltBytes = 16
let pool = Buffer.alloc(0)
let used = 0

/** Random salts, drawn in blocks of a thousand to save system calls. Each is used once. */
function newSalt(): string {
  if (used === pool.length) {
    pool = randomBytes(saltBytes * 1024)
    used = 0
  }
  return pool.toString('hex', used, (used += saltBytes))
}

/** Makes the chain record of an entry at this place. */
export function chained(entry: AuditEntry, seq: number, prev_hash: string): AuditRecord {
  const salts = { user: newSalt(), address: newSalt(), path: newSalt(), message: newSalt() }
  const commitments = {
    user: commit('user', salts.user, entry.user),
    address: commit('address', salts.address, entry.address),
    path: commit('path', salts.path, entry.path),
    message: commit('message', salts.message, entry.message),
  }
  const record = { ...entry, seq, salts, commitments, prev_hash }
  return { ...record, hash: hashOf(record) }
}

/** The defect of a single record, or null. An erased field has neither a value nor a salt. */
export function flawOf(record: AuditRecord): string | null {
  for (const field of personalFields) {
    const salt = record.salts[field]
    if (salt === undefined && record[field] !== null) return `its ${field} has no salt`
    if (salt !== undefined && commit(field, salt, record[field]) !== record.commitments[field])
      return `its ${field} is not what was recorded`
  }
  return hashOf(record) === record.hash ? null : 'its hash is not that of its content'
}

export const isRemoved = ({ salts }: AuditRecord) => personalFields.some((field) => salts[field] === undefined)

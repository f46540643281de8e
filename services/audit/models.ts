import { Type } from 'typebox'
import { AuditRecord } from '#shared/contracts/core/audit.ts'
import { strict, Time } from '#shared/contracts/common.ts'
import { leaseFields } from '#shared/db/lease.ts'
import { modelOf } from '#shared/db/model.ts'

/** Filter of records that a security review looks at. */
export const alarming = { $in: ['warning', 'critical'] }

/**
 * The chain. The unique `seq` lets only one of two writers continue from the same record; the entry's id as key makes a
 * repeated move a no-op. Each further index costs every record, so only alarming records have one.
 */
export const chain = modelOf('audit_events', AuditRecord, [
  { fields: { seq: 1 }, unique: true },
  { fields: { kind: 1, seq: 1 } },
  { fields: { user: 1, seq: 1 } },
  { fields: { time: 1 } },
  { fields: { seq: -1, severity: 1 }, partialFilterExpression: { severity: alarming } },
])

/**
 * Checkpoints: signed statements about the chain; `id` is the seq in sortable form. A `cut` marks the place before
 * which retention removed records.
 */
export const checkpoints = modelOf(
  'audit_checkpoints',
  strict({
    id: Type.String(),
    seq: Type.Integer(),
    hash: Type.String(),
    time: Time,
    signature: Type.String(),
    cut: Type.Boolean(),
  }),
  [{ fields: { seq: 1 } }],
)

/** Lease of the replica that writes the chain, and settings. */
export const auditState = modelOf(
  'audit_state',
  strict({ id: Type.String(), ...leaseFields, days: Type.Unknown() }),
  [],
)

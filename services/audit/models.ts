import { Type } from 'typebox'
import { AuditRecord } from '#shared/contracts/core/audit.ts'
import { strict, Time } from '#shared/contracts/common.ts'
import { modelOf } from '#shared/db/model.ts'

/** What somebody who looks after security wants to see. */
export const alarming = { $in: ['warning', 'critical'] }

/**
 * The chain. A unique `seq` lets only one of two that go on from the same record succeed; the entry's own id as the key
 * makes an entry that is moved twice one record. Each further index costs every record; most records are not alarming.
 */
export const chain = modelOf(
  'audit_events',
  AuditRecord,
  [
    { fields: { seq: 1 }, unique: true },
    { fields: { kind: 1, seq: 1 } },
    { fields: { user: 1, seq: 1 } },
    { fields: { time: 1 } },
    { fields: { seq: -1, severity: 1 }, partialFilterExpression: { severity: alarming } },
  ],
  { tells: false },
)

/** Signed statements about the chain; `id` is the seq, so that they sort. A `cut` is where retention has ended it. */
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
  { tells: false },
)

/** Who chains now, and settings. */
export const auditState = modelOf(
  'audit_state',
  strict({ id: Type.String(), holder: Type.String(), until: Time, days: Type.Unknown() }),
  [],
  { tells: false },
)

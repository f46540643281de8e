import { type Static, Type } from 'typebox'
import { auditKinds } from '#shared/contract/audit-kinds.ts'
import { contract } from '#shared/contract/contract.ts'
import { columnsHint } from '#shared/contract/hints.ts'
import { None, oneOf, Page, record, strict, Time, nullable } from '#shared/contracts/common.ts'

const Text = nullable(Type.String())

/** Audit record as written by a service. */
export const AuditEntry = strict({
  id: Type.String(),
  time: Time,
  kind: Type.Enum([...auditKinds]),
  user: Type.String(),
  address: Text,
  path: Type.String({ description: 'Path of the resource' }),
  action: Type.String({ description: 'The action, such as vms.start' }),
  result: oneOf('success', 'failure', 'denied', 'accepted'),
  severity: oneOf('info', 'warning', 'critical'),
  request_id: Type.String(),
  operation_id: Text,
  before_hash: Type.Union([Type.String(), Type.Null()], { description: 'SHA-256 of the changed records, before' }),
  after_hash: Type.Union([Type.String(), Type.Null()], { description: 'SHA-256 of the changed records, after' }),
  message: Type.Union([Type.String(), Type.Null()], { description: 'Reason of a failure or refusal' }),
})
export type AuditEntry = Static<typeof AuditEntry>

const Hash = Type.String({ pattern: '^[0-9a-f]{64}$', description: 'SHA-256' })
const Seq = Type.Integer({ minimum: 1 })

const { user, path, ...entry } = AuditEntry.properties
const Personal = (of: typeof Hash | ReturnType<typeof Type.String>) =>
  strict({ user: Type.Optional(of), address: Type.Optional(of), path: Type.Optional(of), message: Type.Optional(of) })

/**
 * Audit record in the chain. `hash` covers all fields but the personal ones (user, address, path, message); of these it
 * covers salted commitments. Personal fields can therefore be erased together with their salts, and the chain stays
 * verifiable.
 */
export const AuditRecord = record('seq time kind user path result message')({
  seq: Seq,
  ...entry,
  user: nullable(user),
  path: nullable(path),
  salts: Personal(Type.String()),
  commitments: strict({ user: Hash, address: Hash, path: Hash, message: Hash }),
  prev_hash: Hash,
  hash: Hash,
})
export type AuditRecord = Static<typeof AuditRecord>

const Signature = Type.String({ description: 'Ed25519, base64url' })
/** Signed statement that the chain has this hash at this record. */
export const Checkpoint = strict({
  type: Type.Literal('checkpoint'),
  seq: Type.Integer({ minimum: 0 }),
  hash: Hash,
  time: Time,
  signature: Signature,
})
export type Checkpoint = Static<typeof Checkpoint>

/** First line of an export: a signed statement of the records in it. */
export const ExportHead = strict({
  type: Type.Literal('head'),
  from_seq: Seq,
  to_seq: Type.Integer({ minimum: 0 }),
  prev_hash: Hash,
  hash: Hash,
  checkpoints: Type.Integer({ minimum: 0, description: 'Number of checkpoints among the records' }),
  time: Time,
  public_key: Type.String({ description: 'Ed25519, SPKI, base64url; compare it with a trusted copy' }),
  signature: Signature,
})
export type ExportHead = Static<typeof ExportHead>

export const Finding = strict({
  seq: nullable(Type.Integer()),
  line: nullable(Type.Integer()),
  problem: oneOf(
    'altered',
    'missing',
    'inserted',
    'misplaced',
    'duplicate',
    'truncated',
    'signature',
    'malformed',
    'unanchored',
  ),
  message: Type.String(),
})
export type Finding = Static<typeof Finding>
export const Verdict = strict({
  valid: Type.Boolean(),
  records: Type.Integer({ minimum: 0 }),
  from_seq: nullable(Type.Integer()),
  to_seq: nullable(Type.Integer()),
  head_hash: nullable(Hash),
  removed: Type.Integer({ minimum: 0, description: 'Number of records with removed personal data' }),
  checkpoints: Type.Integer({ minimum: 0 }),
  public_key: nullable(Type.String()),
  findings: Type.Array(Finding),
})
export type Verdict = Static<typeof Verdict>

const Severity = oneOf('info', 'warning', 'critical')
const between = {
  since: Type.Optional(Time),
  until: Type.Optional(Time),
}
/** Query of a long list with a fixed order: paging by cursor only, no offset. */
const byCursor = {
  limit: Type.Integer({ minimum: 1, maximum: 1000, default: 100 }),
  cursor: Type.Optional(Type.String({ maxLength: 512, description: "The page's next_cursor" })),
  fields: Type.Optional(Type.String({ maxLength: 1000 })),
}
const paging = { ...byCursor, offset: Type.Optional(Type.Integer({ minimum: 0 })) }
export const AuditQuery = strict({
  ...paging,
  ...between,
  kind: Type.Optional(
    Type.String({
      maxLength: 1000,
      description: `One or more, separated by commas; vm_* means all with this prefix: ${auditKinds.join(', ')}`,
    }),
  ),
  user: Type.Optional(Type.String({ maxLength: 255 })),
  address: Type.Optional(Type.String({ maxLength: 64 })),
  severity: Type.Optional(Severity),
  result: Type.Optional(oneOf('success', 'failure', 'denied', 'accepted')),
  resource: Type.Optional(
    Type.String({ maxLength: 1024, description: 'Path of the resource; a trailing * means any end' }),
  ),
  request_id: Type.Optional(Type.String({ maxLength: 128 })),
  operation_id: Type.Optional(Type.String({ maxLength: 128 })),
  order: Type.Enum(['desc', 'asc'], { default: 'desc', description: 'desc: the newest first' }),
})
export type AuditQuery = Static<typeof AuditQuery>

const Counts = Type.Record(Type.String(), Type.Integer({ minimum: 0 }))
const Selected = strict({ ...paging, ...between })

export const audit = contract('audit', {
  list: {
    does: 'List audit records',
    rest: 'GET /audit/events',
    can: 'SysAudit on /api/audit',
    params: AuditQuery,
    result: Page(AuditRecord),
  },
  stats: {
    does: 'Count audit records by kind, result, severity and user',
    rest: 'GET /audit/stats',
    can: 'SysAudit on /api/audit',
    params: strict(between),
    result: strict({
      total: Type.Integer(),
      by_kind: Counts,
      by_result: Counts,
      by_severity: Counts,
      by_user: Counts,
      first: nullable(Time),
      last: nullable(Time),
    }),
  },
  securityEvents: {
    does: 'List all records of warning or critical severity: denied actions, failed logins, brute force',
    rest: 'GET /audit/security-events',
    can: 'SysAudit on /api/audit',
    params: Selected,
    result: Page(AuditRecord),
  },
  failedLogins: {
    does: 'List failed logins',
    rest: 'GET /audit/failed-logins',
    can: 'SysAudit on /api/audit',
    params: strict({ ...Selected.properties, user: Type.Optional(Type.String({ maxLength: 255 })) }),
    result: Page(AuditRecord),
  },
  bruteForce: {
    does: 'List users and addresses with many failed logins within a time',
    rest: 'GET /audit/brute-force',
    can: 'SysAudit on /api/audit',
    params: strict({
      ...between,
      threshold: Type.Integer({
        minimum: 2,
        maximum: 10_000,
        default: 10,
        description: 'Minimum number of failures',
      }),
    }),
    result: strict({
      data: Type.Array(
        strict({
          by: oneOf('user', 'address'),
          name: Type.String(),
          failures: Type.Integer(),
          first: Time,
          last: Time,
          others: Type.Array(Type.String(), {
            description: 'Addresses of a user, or users of an address; at most 100',
          }),
          succeeded_after: Type.Boolean({ description: 'True: a login succeeded after the failures' }),
        }),
      ),
    }),
  },
  verify: {
    does: 'Verify that no record was altered, dropped, moved or inserted',
    rest: 'GET /audit/verify',
    can: 'SysAudit on /api/audit',
    params: strict({
      seq: Type.Optional(Seq),
      hash: Type.Optional(Hash),
    }),
    result: Verdict,
  },
  key: {
    does: 'Get the public key of the audit signatures; keep a copy elsewhere',
    rest: 'GET /audit/key',
    can: 'SysAudit on /api/audit',
    params: None,
    result: strict({
      public_key: Type.String({ description: 'Ed25519, SPKI, base64url' }),
      fingerprint: Type.String({ description: 'SHA-256 of it, as ssh-keygen shows keys' }),
    }),
  },
  export: {
    does: 'Export the whole chain with its signed head and checkpoints, for the verifier',
    rest: 'GET /audit/export',
    can: 'SysAudit on /api/audit',
    params: strict(byCursor),
    result: Page(Type.Union([ExportHead, AuditRecord, Checkpoint], columnsHint(AuditRecord))),
  },
  retention: {
    does: 'Get the retention of records',
    rest: 'GET /audit/retention',
    can: 'SysAudit on /api/audit',
    params: None,
    result: strict({ days: nullable(Type.Integer()) }),
  },
  setRetention: {
    does: 'Set the retention of records; null: for ever',
    rest: 'PUT /audit/retention',
    can: 'SysModify on /api/audit',
    audit: 'config_changed',
    params: strict({ days: nullable(Type.Integer({ minimum: 1, maximum: 36_500 })) }),
    result: strict({ days: nullable(Type.Integer()) }),
  },
  erase: {
    does: 'Erase the personal data of a user from all records; the chain stays verifiable',
    rest: 'POST /audit/erase',
    can: 'SysModify on /api/audit',
    audit: 'config_changed',
    params: strict({ user: Type.String({ minLength: 1, maxLength: 255 }) }),
    result: strict({ records: Type.Integer({ minimum: 0 }) }),
  },
})

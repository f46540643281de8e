import type { Caller, MaySee, Rights } from '#shared/access/access.ts'
import type { AuditKind } from '#shared/contract/audit-kinds.ts'
import type { AuditEntry } from '#shared/contracts/core/audit.ts'

/** Response metadata beside the result; the gateway turns it into headers. */
export type Reply = {
  etag?: string
  /** The session cookie to set, or null to clear it. */
  cookie?: { value: string; expires_at: string } | null
}

/** The call of a handler, beside its parameters. */
export type Call = {
  caller: Caller
  requestId: string
  rights: Rights
  /** By the contract's `itemAccess`. */
  maySee: MaySee
  /** The response metadata; the handler fills it in. */
  reply: Reply
  /** Fields of the audit record in addition to, or in place of, those that follow from the contract. */
  record: { kind?: AuditKind; user?: string; severity?: AuditEntry['severity'] }
}

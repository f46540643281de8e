import type { Caller, MaySee, Rights } from '#shared/access/access.ts'
import type { AuditKind } from '#shared/contract/audit-kinds.ts'
import type { AuditEntry } from '#shared/contracts/core/audit.ts'

/** Response metadata beside the result; the gateway turns it into headers. */
export type Reply = {
  etag?: string
  /** The session cookie to set, or null to clear it. */
  cookie?: { value: string; expires_at: string } | null
}

/** What a handler may want to know of its call, beside the parameters. */
export type Call = {
  caller: Caller
  requestId: string
  rights: Rights
  /** By the contract's `itemAccess`. */
  maySee: MaySee
  /** What the answer carries beside the result. */
  reply: Reply
  /** What the audit's record says beside, or instead of, what follows from the contract. */
  record: { kind?: AuditKind; user?: string; severity?: AuditEntry['severity'] }
}

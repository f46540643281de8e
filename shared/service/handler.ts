import type { Caller, Rights } from '#shared/access/access.ts'
import type { AuditKind } from '#shared/audit/kinds.ts'
import type { Reply } from '#shared/bus/call.ts'
import type { AuditEntry } from '#shared/contracts/core/audit.ts'
import type { MaySee } from '#shared/db/page.ts'

/** What a handler may want to know of its call, beside the parameters. */
export type Call = {
  caller: Caller
  requestId: string
  rights: Rights
  /** By the contract's `sees`. */
  maySee: MaySee
  /** What the answer carries beside the result. */
  reply: Reply
  /** What the audit's record says beside, or instead of, what follows from the contract. */
  record: { kind?: AuditKind; user?: string; severity?: AuditEntry['severity'] }
}

import { type Static, Type } from 'typebox'
import { v7 } from 'uuid'
import { type Caller, subjectOf } from '#shared/access.ts'
import { auditKinds } from '#shared/audit-kinds.ts'
import { oneOf, strict, Time } from '#shared/contracts/common.ts'
import { modelOf } from '#shared/db/model.ts'
import { inStore } from '#shared/db/connect.ts'
import { now } from '#shared/events/event.ts'

export const AuditEntry = strict({
  id: Type.String(),
  time: Time,
  kind: Type.Enum([...auditKinds]),
  user: Type.String(),
  address: Type.Union([Type.String(), Type.Null()]),
  path: Type.String({ description: 'Path of the resource' }),
  action: Type.String({ description: 'The action, such as vms.start' }),
  result: oneOf('success', 'failure', 'denied', 'accepted'),
  severity: oneOf('info', 'warning', 'critical'),
  request_id: Type.String(),
  operation_id: Type.Union([Type.String(), Type.Null()]),
  message: Type.Union([Type.String(), Type.Null()], { description: 'Why it failed or was refused' }),
})
export type AuditEntry = Static<typeof AuditEntry>

/** Where every service leaves its records; the audit service takes them from here into the chain. */
export const auditInbox = modelOf('audit_inbox', AuditEntry, [])

type Given = Pick<AuditEntry, 'kind' | 'path' | 'action' | 'result' | 'request_id'> &
  Partial<Pick<AuditEntry, 'id' | 'operation_id' | 'message' | 'severity'>> & {
    caller: Caller
    /** When it is not the caller. */ user?: string
  }

/**
 * Writes a record of what was done, tried or refused. It is durable when this returns, so that nothing is answered
 * that is not on record; it needs neither the bus nor the audit service.
 */
export async function recordAudit({ id = v7(), caller, user, ...given }: Given): Promise<void> {
  const entry = {
    _id: id,
    time: now(),
    user: user ?? subjectOf(caller),
    address: caller.address ?? null,
    severity: given.result === 'denied' ? 'warning' : 'info',
    operation_id: null,
    message: null,
    ...given,
  }
  try {
    await inStore(() => auditInbox.create([entry] as never))
  } catch (error) {
    // The caller named the record, and it is there already.
    if ((error as { code?: number }).code !== 11_000) throw error
  }
}

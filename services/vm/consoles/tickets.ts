import { v4 } from 'uuid'
import { recordAudit } from '#shared/audit/audit.ts'
import type { Params } from '#shared/contract/contract.ts'
import type { consoles, Opened, TicketStatus } from '#shared/contracts/vm/consoles.ts'
import { requestContext } from '#shared/runtime/request-context.ts'
import { AuthenticationError, ForbiddenError, notFound } from '#shared/errors.ts'
import { now } from '#shared/events/event.ts'
import { isUsable, newTicket, ticketIdIn } from '#shared/service/tickets.ts'
import { apiPathOf, vmRecords } from '../model.ts'
import { endpointOf } from './endpoint.ts'
import { recordings, type StoredTicket, tickets } from './models.ts'

type Asked = Pick<StoredTicket, 'vm_id' | 'user' | 'credential' | 'console_type' | 'record'>

export async function issue({ user, credential, ...asked }: Asked): Promise<{ ticket: string; expires_at: string }> {
  const { ticket, fields } = newTicket({ user, credential })
  await tickets.insert({ ...asked, ...fields, recording_id: null })
  return { ticket, expires_at: fields.expires_at }
}

const wrong = () =>
  new AuthenticationError('The ticket is wrong, used, older than 5 minutes, or of another console; ask for a new one')

/** Finds an unused ticket for this VM (null: for any). @throws AuthenticationError, which does not tell the mistake */
export async function unused(ticket: string, vmId: string | null): Promise<StoredTicket> {
  const found = await tickets.get(ticketIdIn(ticket))
  if (!found || (vmId !== null && found.vm_id !== vmId) || !isUsable(found, ticket)) throw wrong()
  return found
}

/** Uses a ticket up. A refusal is audited too. */
export async function redeem(params: Params<typeof consoles, 'redeem'>): Promise<Opened> {
  const { ticket, address, gateway, user } = params
  try {
    const found = await unused(ticket, params.vm_id)
    if (user !== null && user !== found.user)
      throw new ForbiddenError(`The ticket is of another user than '${user}'`, { details: { user } })
    const { vm_id } = found
    const vm = await vmRecords.require(vm_id)
    const endpoint = await endpointOf(vm, found.console_type)
    const opened_at = now()
    const recording_id = found.record ? v4() : null
    // This write decides between two callers with the same ticket.
    const taken = await tickets.updateWhere(
      { _id: found.id, version: found.version, opened_at: null },
      { set: { opened_at, gateway, address, recording_id } },
    )
    if (!taken) throw wrong()
    const begun = { vm_id, user: found.user, started_at: opened_at, ended_at: null, size_bytes: 0, parts: 0 }
    if (recording_id) await recordings.insert({ ...begun, id: recording_id, complete: true })
    await onRecord('console_opened', taken, recording_id ? 'recorded' : null)
    const { id: ticket_id, console_type, user: owner, credential } = found
    return {
      ticket_id,
      vm_id,
      vm_name: vm.name,
      console_type,
      node: vm.node,
      user: owner,
      credential,
      endpoint,
      recording_id,
    }
  } catch (error) {
    if (error instanceof AuthenticationError || error instanceof ForbiddenError) await refused(params, error)
    throw error
  }
}

/** Records that a console is closed; only the first time. */
export async function close(ticketId: string, reason: string): Promise<void> {
  const closed = await tickets.updateWhere(
    { _id: ticketId, opened_at: { $ne: null }, closed_at: null },
    { set: { closed_at: now(), reason } },
  )
  if (!closed) return
  if (closed.recording_id) await endRecording(closed.recording_id)
  await onRecord('console_closed', closed, reason)
}

const endRecording = (id: string) => recordings.updateWhere({ _id: id, ended_at: null }, { set: { ended_at: now() } })

const requestId = () => requestContext()?.requestId ?? 'consoles'

function onRecord(kind: 'console_opened' | 'console_closed', ticket: StoredTicket, detail: string | null) {
  const { id, vm_id, user, address, console_type } = ticket
  return recordAudit({
    // A repetition after a crash is the same record.
    id: `${kind}-${id}`,
    kind,
    path: apiPathOf(vm_id),
    action: `consoles.${console_type}`,
    result: 'success',
    request_id: requestId(),
    caller: { kind: 'service', name: 'consoles', user, ...(address !== null && { address }) },
    message: detail,
  })
}

const refused = ({ vm_id, address, user }: Params<typeof consoles, 'redeem'>, error: Error) =>
  recordAudit({
    kind: 'permission_denied',
    path: vm_id === null ? '/api/console' : apiPathOf(vm_id),
    action: 'consoles.redeem',
    result: 'denied',
    request_id: requestId(),
    caller: user === null ? { kind: 'anonymous', address } : { kind: 'service', name: 'consoles', user, address },
    message: error.message,
  })

/** The state of a ticket, for its user. @throws NotFoundError for another user's */
export async function statusOf(id: string, user: string): Promise<TicketStatus> {
  const ticket = await tickets.get(id)
  if (!ticket || ticket.user !== user) throw notFound('Console ticket', id)
  const { vm_id, console_type, created_at, expires_at, opened_at, closed_at, reason, recording_id } = ticket
  const isOver = opened_at === null && expires_at <= now()
  const status = closed_at ? 'closed' : opened_at ? 'open' : isOver ? 'expired' : 'unused'
  return {
    ticket_id: id,
    vm_id,
    console_type,
    status,
    created_at,
    expires_at,
    opened_at,
    closed_at,
    reason,
    recording_id,
  }
}

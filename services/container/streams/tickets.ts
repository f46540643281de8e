import { recordAudit } from '#shared/audit/audit.ts'
import type { Params, Result } from '#shared/contract/contract.ts'
import type { containerStreams, OpenedStream } from '#shared/contracts/container/streams.ts'
import { AuthenticationError, ForbiddenError } from '#shared/errors.ts'
import { now } from '#shared/events/event.ts'
import { requestContext } from '#shared/runtime/request-context.ts'
import { isUsable, newTicket, type Ticket, ticketIdIn } from '#shared/service/tickets.ts'
import { apiPathOf, containerRecords } from '../model.ts'
import { begin, requireFew } from './begin.ts'
import { type StreamTicket, streamTickets } from './models.ts'
import { endStream } from './running.ts'

type Asked = Pick<StreamTicket, 'container_id' | 'kind' | 'sealed' | 'logs'>
type Redeem = Params<typeof containerStreams, 'redeem'>

export async function issue(
  asked: Asked,
  who: Pick<Ticket, 'user' | 'credential'>,
): Promise<Result<typeof containerStreams, 'exec'>> {
  const { ticket, fields } = newTicket(who)
  await streamTickets.insert({ ...asked, ...fields, replica: null })
  const { container_id } = asked
  const websocket_path = `/api/containers/${container_id}/websocket?ticket=${ticket}`
  return { container_id, ticket, websocket_path, expires_at: fields.expires_at }
}

const wrong = () =>
  new AuthenticationError('The ticket is wrong, used, older than 5 minutes, or of another container; ask for a new one')

/** Uses a ticket up and begins its stream here. A refusal is audited too. */
export async function redeem(params: Redeem): Promise<OpenedStream> {
  try {
    return await redeemed(params)
  } catch (error) {
    if (error instanceof AuthenticationError || error instanceof ForbiddenError) await refused(params, error)
    throw error
  }
}

async function redeemed({ container_id, ticket, address, gateway, user }: Redeem): Promise<OpenedStream> {
  const found = await streamTickets.get(ticketIdIn(ticket))
  if (!found || found.container_id !== container_id || !isUsable(found, ticket)) throw wrong()
  if (user !== null && user !== found.user)
    throw new ForbiddenError(`The ticket is of another user than '${user}'`, { details: { user } })
  const container = await containerRecords.require(container_id)
  requireFew((await streamTickets.all({ container_id, opened_at: { $ne: null }, closed_at: null })).length, container)
  const replica = requestContext()!.broker.nodeID
  // This write decides between two callers with the same ticket.
  const taken = await streamTickets.updateWhere(
    { _id: found.id, version: found.version, opened_at: null },
    { set: { opened_at: now(), gateway, address, replica } },
  )
  if (!taken) throw wrong()
  await onRecord(taken, null)
  try {
    await begin(taken)
  } catch (error) {
    await close(taken.id, (error as Error).message)
    throw error
  }
  const { id: ticket_id, kind, user: owner, credential, logs } = taken
  return { ticket_id, container_id, kind, user: owner, credential, replica, logs }
}

/** Ends the stream of a ticket and puts its end on record; only the first time. */
export async function close(id: string, reason: string): Promise<void> {
  await endStream(id)
  const closed = await streamTickets.updateWhere(
    { _id: id, opened_at: { $ne: null }, closed_at: null },
    { set: { closed_at: now(), reason, sealed: null } },
  )
  if (closed) await onRecord(closed, reason)
}

const requestId = () => requestContext()?.requestId ?? 'container-streams'

/** @param ended null at the beginning. A client that only follows a log is on record by its ticket. */
async function onRecord({ id, container_id, user, address, kind }: StreamTicket, ended: string | null): Promise<void> {
  if (kind === 'logs') return
  const begun = kind === 'exec' ? 'container_exec' : 'console_opened'
  await recordAudit({
    // A repetition after a crash is the same record.
    id: `${ended === null ? 'begun' : 'ended'}-${id}`,
    kind: ended === null ? begun : 'console_closed',
    path: apiPathOf(container_id),
    action: `container-streams.${kind}`,
    result: 'success',
    request_id: requestId(),
    caller: { kind: 'service', name: 'container-streams', user, ...(address !== null && { address }) },
    message: ended,
  })
}

const refused = ({ container_id, address, user }: Redeem, error: Error) =>
  recordAudit({
    kind: 'permission_denied',
    path: apiPathOf(container_id),
    action: 'container-streams.redeem',
    result: 'denied',
    request_id: requestId(),
    caller:
      user === null ? { kind: 'anonymous', address } : { kind: 'service', name: 'container-streams', user, address },
    message: error.message,
  })

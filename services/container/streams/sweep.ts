import { hasGone } from '#shared/bus/liveness.ts'
import { every } from '#shared/runtime/repeat.ts'
import { requestContext } from '#shared/runtime/request-context.ts'
import { killCommand } from './begin.ts'
import { type StreamTicket, streamTickets } from './models.ts'
import { ownStreams } from './running.ts'
import { close } from './tickets.ts'

const sweepEveryMs = 5000
/** Retention of used tickets. */
const keptMs = 24 * 3_600_000

/** A stream that has just been taken up may not be there yet. */
const beginsWithinMs = 60_000

/** True when this process had the stream, and has ended it because its gateway never came for it. */
const isLost = ({ id, kind, replica, opened_at }: StreamTicket): boolean =>
  kind !== 'logs' &&
  replica === requestContext()?.broker.nodeID &&
  !ownStreams().includes(id) &&
  Date.now() - Date.parse(opened_at ?? '') > beginsWithinMs

/** The reason to close an open stream: it is lost, or one of its two processes has gone. */
async function reasonOf(ticket: StreamTicket): Promise<string | null> {
  const { gateway, replica } = ticket
  if (isLost(ticket)) return 'Its gateway did not come for it'
  if (replica !== null && (await hasGone(replica))) return 'The service that ran it has gone'
  return gateway !== null && (await hasGone(gateway)) ? 'The gateway that held it has gone' : null
}

/** Ends the streams, and kills the commands, of processes that have gone; removes old tickets. */
async function sweep(): Promise<void> {
  for (const ticket of await streamTickets.all({ opened_at: { $ne: null }, closed_at: null })) {
    const reason = await reasonOf(ticket)
    if (reason === null) continue
    if (ticket.kind === 'exec') await killCommand(ticket)
    await close(ticket.id, reason)
  }
  const old = new Date(Date.now() - keptMs).toISOString()
  await streamTickets.removeWhere({
    $or: [{ closed_at: { $lt: old } }, { opened_at: null, created_at: { $lt: old } }],
  })
}

/** @returns a function that stops it, and ends all streams of this replica */
export function sweepStreams(): () => Promise<void> {
  const stop = every(sweepEveryMs, sweep, { part: 'container-streams', failed: 'streams could not be swept' })
  return async () => {
    stop()
    await Promise.allSettled(ownStreams().map((id) => close(id, 'The service is stopping')))
  }
}

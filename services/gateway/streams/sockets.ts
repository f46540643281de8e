import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { ServiceBroker } from 'moleculer'
import type { WebSocket } from 'ws'
import { call } from '#shared/bus/call.ts'
import { containerStreams, type OpenedStream } from '#shared/contracts/container/streams.ts'
import { AppError, invalid } from '#shared/errors.ts'
import type { Gate } from '../admission/admit.ts'
import type { Identities } from '../admission/identities.ts'
import { closeBrowser, keepAlive } from '../sessions/browser.ts'
import { codes } from '../sessions/closing.ts'
import { createSessions, type Session } from '../sessions/sessions.ts'
import { requireBinary, whoShows } from '../sessions/who-shows.ts'
import { requireUpgrade } from '../events/websocket/upgrade.ts'
import { followLog } from './follow-log.ts'
import { attachProcess } from './process.ts'
import { closeRemote, remoteStream } from './remote.ts'
import { isSent, sendTo } from './send.ts'

type Shown = { ticket: string; containerId: string; address: string; user: string | null }

/** The WebSockets of containers: commands, consoles, and logs that are followed. */
export function createContainerSockets(app: FastifyInstance, broker: ServiceBroker, identities: Gate & Identities) {
  /** The processes that have the streams, by ticket: only they can end them. */
  const replicas = new Map<string, string>()
  const sessions = createSessions<OpenedStream, Shown>(broker, identities, {
    what: 'a stream of a container',
    redeem: async ({ ticket, containerId, address, user }) => {
      const params = { container_id: containerId, ticket, address, gateway: broker.nodeID, user }
      const opened = await call(containerStreams, 'redeem', params, { timeoutMs: beginWithinMs })
      replicas.set(opened.ticket_id, opened.replica)
      return opened
    },
    keep: (ticket_ids) => call(containerStreams, 'keep', { ticket_ids }),
    close: async (ticket_id, reason) => {
      await closeRemote(broker, replicas.get(ticket_id) ?? '', { ticket_id, reason })
      replicas.delete(ticket_id)
    },
    rightOf: ({ container_id, kind }) => ({
      privilege: kind === 'logs' ? 'ContainerAudit' : 'ContainerExec',
      path: `/api/containers/${container_id}`,
    }),
  })
  app.addHook('preClose', sessions.stop)
  const prepared = new WeakMap<FastifyRequest, Session<OpenedStream>>()

  /** All that can be refused is refused before there is a WebSocket, with the status and body of any other route. */
  const prepare = async (request: FastifyRequest, reply: FastifyReply): Promise<void> => {
    await identities.limits.user(request, reply)
    requireUpgrade(request, 'A stream of a container is a WebSocket: connect with a client that speaks it')
    requireBinary(request)
    const user = await whoShows(request, identities, 'container-streams.redeem')
    const { ticket } = request.query as { ticket?: unknown }
    if (typeof ticket !== 'string' || ticket.length > 256) throw invalid('ticket', 'must be given once', 'required')
    const { id: containerId } = request.params as { id: string }
    const session = await sessions.open({ ticket, containerId, address: request.address, user })
    // From here on the session must be ended, however the connection ends.
    const left = () => session.end({ code: codes.gone, reason: 'The client has gone' })
    request.raw.socket.once('close', left)
    if (request.raw.socket.destroyed) left()
    prepared.set(request, session)
  }

  const serve = (browser: WebSocket, session: Session<OpenedStream>) => {
    session.onEnd((why) => closeBrowser(browser, why))
    browser.on('error', () => undefined)
    browser.once('close', () => session.end({ code: 1000, reason: 'The client has closed it' }))
    keepAlive(browser, session.onEnd)
    const { kind, replica, ticket_id } = session.opened
    if (kind === 'logs') void sessions.inContext(() => showLog(broker, browser, session))
    else attachProcess(browser, session, remoteStream(broker, { replica, stream_id: ticket_id }))
    if (!session.isOpen()) browser.close(codes.gone, 'The stream has ended')
  }

  return {
    addWebSocket: (scope: FastifyInstance): void => {
      scope.get('/api/containers/:id/websocket', { websocket: true, onRequest: prepare }, (socket, request) =>
        serve(socket, prepared.get(request)!),
      )
    },
  }
}

/** A command's first answer may take as long as its engine does. */
const beginWithinMs = 15_000

/** Sends the parts of a log as JSON texts, as fast as the client reads. */
async function showLog(broker: ServiceBroker, browser: WebSocket, session: Session<OpenedStream>): Promise<void> {
  const { container_id: id, logs, ticket_id: requestId } = session.opened
  const asked = {
    id,
    from: logs ?? { tail: 100 },
    caller: () => session.user,
    requestId,
    isOpen: session.isOpen,
  }
  try {
    for await (const part of followLog(broker, asked)) {
      sendTo(browser, JSON.stringify(part))
      await isSent(browser, session, false)
    }
  } catch (error) {
    const code = error instanceof AppError && error.status < 500 ? codes.gone : codes.unavailable
    session.end({ code, reason: (error as Error).message })
  }
}

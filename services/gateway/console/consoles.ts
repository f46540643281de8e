import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { ServiceBroker } from 'moleculer'
import { invalid } from '#shared/errors.ts'
import type { Gate } from '../admission/admit.ts'
import type { Identities } from '../admission/identities.ts'
import { requireUpgrade } from '../events/websocket/upgrade.ts'
import { attach, openSource, type Source } from './attach.ts'
import { codes } from '../sessions/closing.ts'
import { type ConsoleSession, createConsoleSessions } from './console-sessions.ts'
import { addSpiceProxy } from './spice-proxy.ts'
import { requireBinary, whoShows } from '../sessions/who-shows.ts'

type Prepared = { session: ConsoleSession; source: Source }

/** The consoles of this gateway: WebSockets for browsers, and the proxy that remote-viewer takes to SPICE. */
export function createConsoles(app: FastifyInstance, broker: ServiceBroker, identities: Gate & Identities) {
  const sessions = createConsoleSessions(broker, identities)
  app.addHook('preClose', sessions.stop)
  addSpiceProxy(app, sessions)
  const prepared = new WeakMap<FastifyRequest, Prepared>()

  /** All that can be refused is refused before there is a WebSocket, with the status and body of any other route. */
  const prepare = async (request: FastifyRequest, reply: FastifyReply): Promise<void> => {
    await identities.limits.user(request, reply)
    requireUpgrade(request, 'A console is a WebSocket: connect with a client that speaks it')
    requireBinary(request)
    const user = await whoShows(request, identities, 'consoles.redeem')
    const { ticket } = request.query as { ticket?: unknown }
    if (typeof ticket !== 'string' || ticket.length > 256) throw invalid('ticket', 'must be given once', 'required')
    const { vm_id: vmId } = request.params as { vm_id: string }
    const session = await sessions.open({ ticket, vmId, address: request.address, user })
    // From here on the session must be ended, however the connection ends.
    const left = () => session.end({ code: codes.gone, reason: 'The viewer has gone' })
    request.raw.socket.once('close', left)
    if (request.raw.socket.destroyed) left()
    try {
      const source = await sessions.inContext(() => openSource(session))
      if (source.kind === 'display') session.onEnd(() => void source.socket.destroy())
      prepared.set(request, { session, source })
    } catch (error) {
      session.end({ code: codes.unavailable, reason: (error as Error).message })
      throw error
    }
  }

  const addWebSocket = (scope: FastifyInstance): void => {
    scope.get('/api/console/:vm_id/websocket', { websocket: true, onRequest: prepare }, (socket, request) => {
      const { session, source } = prepared.get(request)!
      attach(socket, session, source, sessions)
      if (!session.isOpen()) socket.close(codes.gone, 'The console has ended')
    })
  }
  return { addWebSocket, prove: sessions.prove }
}

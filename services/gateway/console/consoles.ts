import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { ServiceBroker } from 'moleculer'
import { BadRequestError, invalid } from '#shared/errors.ts'
import type { Gate } from '../admission/admit.ts'
import { credentialOf } from '../admission/credentials.ts'
import type { Identities } from '../admission/identities.ts'
import { isSameOrigin } from '../admission/same-origin.ts'
import { refuseOrigin } from '../admission/audit-denied.ts'
import { requireUpgrade } from '../events/websocket/upgrade.ts'
import { attach, openSource, type Source } from './attach.ts'
import { codes } from './closing.ts'
import { createConsoleSessions, type Session } from './sessions.ts'
import { addSpiceProxy } from './spice-proxy.ts'

type Prepared = { session: Session; source: Source }

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
    const user = await whoShows(request, identities)
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

function requireBinary({ headers }: FastifyRequest): void {
  const offered = headers['sec-websocket-protocol']
  if (offered !== undefined && !offered.split(',').some((name) => name.trim() === 'binary'))
    throw new BadRequestError(`The subprotocol of a console is 'binary', not '${offered}'`)
}

/** A ticket is enough. A credential sent beside it must be of the same user. */
async function whoShows(request: FastifyRequest, { identify }: Identities): Promise<string | null> {
  const credential = credentialOf(request)
  if (!credential) return null
  if (credential.from === 'cookie' && !isSameOrigin(request)) await refuseOrigin(request, 'consoles.redeem')
  return (await identify(credential, request.address)).user
}

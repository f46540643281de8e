import websocket from '@fastify/websocket'
import type { FastifyInstance } from 'fastify'
import type { Gate } from '../../admission/admit.ts'
import { credentialOf } from '../../admission/credentials.ts'
import { door } from '../../admission/guard-plain-route.ts'
import type { Hub } from '../hub.ts'
import type { Sessions } from '../sessions.ts'
import type { Identities } from '../../admission/identities.ts'
import { refuseOrigin } from '../../admission/audit-denied.ts'
import { isSameOrigin } from '../../admission/same-origin.ts'
import { serveSocket } from './connection.ts'
import { requireUpgrade } from './upgrade.ts'

const maxMessageBytes = 65_536
/** Of the subprotocols that a client offers, the one that noVNC knows, else its first. */
const handleProtocols = (offered: Set<string>) => (offered.has('binary') ? 'binary' : ([...offered][0] ?? false))

/**
 * `GET /api/ws`: the events, for clients that want to choose their topics as they go.
 * @param also adds other WebSockets; the plugin bears being registered only once
 */
export async function addWebSocket(
  app: FastifyInstance,
  hub: Hub,
  sessions: Sessions,
  { identify, redeem, limits }: Gate & Identities,
  also: (scope: FastifyInstance) => void,
) {
  /** A credential in the request is checked before the upgrade; it may also come as a message. */
  const onRequest = door(limits, 'events.open', async (request) => {
    requireUpgrade(
      request,
      'This is a WebSocket: connect with a client that speaks it, or ask GET /api/events for the same as a stream',
    )
    const { ticket } = request.query as { ticket?: unknown }
    if (typeof ticket === 'string') {
      request.caller = await redeem(ticket, request.address)
      return
    }
    const credential = credentialOf(request)
    if (!credential) return
    if (credential.from === 'cookie' && !isSameOrigin(request)) await refuseOrigin(request, 'events.open')
    request.caller = await identify(credential, request.address)
  })
  // In a scope of its own, because the plugin looks at every request of its scope.
  await app.register(async (scope) => {
    await scope.register(websocket, {
      options: { maxPayload: maxMessageBytes, perMessageDeflate: false, handleProtocols },
    })
    scope.get('/api/ws', { websocket: true, onRequest }, (socket, request) => {
      serveSocket(socket, request, { hub, sessions, identify })
    })
    also(scope)
  })
}

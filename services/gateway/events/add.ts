import type { FastifyInstance } from 'fastify'
import type { ServiceBroker } from 'moleculer'
import type { Identities } from '../identities.ts'
import { addServerSentEvents } from '../sse.ts'
import { addWebSocket } from '../websocket/route.ts'
import { createHub } from './hub.ts'
import { createSessions } from './sessions.ts'

/** The events, over WebSocket and as Server-Sent Events: one reader of the stream for all connections. */
export async function addEvents(
  app: FastifyInstance,
  broker: ServiceBroker,
  identities: Identities,
  otherSockets: (scope: FastifyInstance) => void,
): Promise<void> {
  const hub = await createHub()
  const sessions = createSessions(broker, hub, identities)
  // Connections that never end by themselves would hold up the end of the server.
  app.addHook('preClose', async () => {
    sessions.stop()
    hub.stop()
  })
  await addWebSocket(app, hub, sessions, identities, otherSockets)
  addServerSentEvents(app, hub, sessions, identities.identify)
}

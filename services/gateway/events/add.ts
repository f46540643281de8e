import type { FastifyInstance } from 'fastify'
import type { ServiceBroker } from 'moleculer'
import type { Gate } from '../admission/admit.ts'
import type { Identities } from '../admission/identities.ts'
import { addServerSentEvents } from './sse.ts'
import { addWebSocket } from './websocket/route.ts'
import { createHub } from './hub.ts'
import { createSessions } from './sessions.ts'

/** The events, over WebSocket and as Server-Sent Events: one reader of the stream for all connections. */
export async function addEvents(
  app: FastifyInstance,
  broker: ServiceBroker,
  gate: Gate & Identities,
  otherSockets: (scope: FastifyInstance) => void,
): Promise<void> {
  const hub = await createHub()
  const sessions = createSessions(broker, hub, gate)
  // Connections that never end by themselves would hold up the end of the server.
  app.addHook('preClose', async () => {
    sessions.stop()
    hub.stop()
  })
  await addWebSocket(app, hub, sessions, gate, otherSockets)
  addServerSentEvents(app, hub, sessions, gate)
}

import cookies from '@fastify/cookie'
import Fastify, {
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  type FastifyServerOptions,
} from 'fastify'
import type { ServiceBroker } from 'moleculer'
import { config } from '#shared/config/config.ts'
import type { Contract } from '#shared/contract/contract.ts'
import { addBodies } from './rest/bodies.ts'
import { addCompression } from './rest/compression.ts'
import { requestTimeoutMs, sendClientError } from './rest/client-errors.ts'
import { bodyLimitBytes, sendError } from './rest/errors.ts'
import { createConsoles } from './console/consoles.ts'
import { addConsoleFiles } from './console/files.ts'
import { addEvents } from './events/add.ts'
import { addHealth } from './health.ts'
import { createIdentities } from './admission/identities.ts'
import { addNotFound, maxParamLength } from './rest/not-found.ts'
import { addPages } from './pages/pages.ts'
import { apiHeaders } from './pages/security-headers.ts'
import { createLimits } from './admission/rate-limit.ts'
import { plainAddress, requestIdOf, withoutVersion } from './rest/request-id.ts'
import { logRequest } from './rest/request-log.ts'
import { addRoutes } from './rest/routes.ts'
import { addUploads } from './rest/uploads.ts'
import { addContainerFiles } from './streams/files.ts'
import { addLogStream } from './streams/log-stream.ts'
import { createContainerSockets } from './streams/sockets.ts'
import { addBackupFiles } from './streams/backup-files.ts'
import { addVolumeDownloads } from './streams/volume-downloads.ts'
import { tlsOptions } from './tls/tls.ts'

/** The HTTP side of Horcrux, not yet listening. */
export async function createApp(broker: ServiceBroker, contracts: readonly Contract[]): Promise<FastifyInstance> {
  const { trustedProxies } = config()
  const options: FastifyServerOptions = {
    logger: false,
    bodyLimit: bodyLimitBytes,
    trustProxy: trustedProxies.length > 0 ? trustedProxies : false,
    requestIdHeader: false,
    genReqId: (raw) => requestIdOf(raw as Parameters<typeof requestIdOf>[0]),
    rewriteUrl: ({ url }) => withoutVersion(url),
    // Requests on open connections are served to the end; new connections are refused.
    return503OnClosing: false,
    forceCloseConnections: 'idle',
    requestTimeout: requestTimeoutMs,
    routerOptions: { maxParamLength, ignoreTrailingSlash: true },
    clientErrorHandler: sendClientError,
    frameworkErrors: sendUnrouted,
  }
  const tls = await tlsOptions()
  // With `https` the types want to know of another server, which nothing here looks at.
  const app = Fastify({ ...options, ...(tls && { https: tls }) } as FastifyServerOptions)

  await app.register(cookies)
  app.decorateRequest('caller')
  app.decorateRequest('address', '')
  app.addHook('onRequest', (request, reply, done) => {
    begin(request, reply)
    done()
  })
  app.addHook('onResponse', logRequest)
  app.setErrorHandler((error, request, reply) => sendError(error, request, reply))
  addBodies(app)
  await addCompression(app)

  const identities = createIdentities(broker)
  app.addHook('onClose', identities.stop)
  const gate = { ...identities, limits: await createLimits(app, broker) }
  const consoles = createConsoles(app, broker, gate)
  const containerSockets = createContainerSockets(app, broker, gate)
  await addEvents(app, broker, gate, (scope) => {
    consoles.addWebSocket(scope)
    containerSockets.addWebSocket(scope)
  })
  addLogStream(app, broker, gate)
  addConsoleFiles(app, broker, gate, consoles.prove)
  addRoutes(app, broker, contracts, gate)
  await addUploads(app, broker, gate)
  await addContainerFiles(app, broker, gate)
  addVolumeDownloads(app, broker, gate)
  addBackupFiles(app, broker, gate)
  addHealth(app, broker, contracts)
  await addPages(app, contracts)
  addNotFound(app, contracts)
  return app
}

/** Sets the caller and the address of a request, and the headers of every answer. */
function begin(request: FastifyRequest, reply: FastifyReply): void {
  request.address = plainAddress(request.ip)
  request.caller = { kind: 'anonymous', address: request.address }
  void reply.headers(apiHeaders)
  void reply.header('x-request-id', request.id)
}

/** Answers errors that Fastify raises before routing (a malformed path, or too long a segment): they pass no hooks. */
function sendUnrouted(error: Error, request: FastifyRequest, reply: FastifyReply): void {
  begin(request, reply)
  void sendError(error, request, reply)
  logRequest(request, reply, () => undefined)
}

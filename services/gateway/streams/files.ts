import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { ServiceBroker } from 'moleculer'
import { containerStreams } from '#shared/contracts/container/streams.ts'
import { BadRequestError, invalid } from '#shared/errors.ts'
import { admit, type Gate } from '../admission/admit.ts'
import { credentialOf } from '../admission/credentials.ts'
import { requireSameOrigin } from '../admission/same-origin.ts'
import { archiveIn, giveArchive, mediaType, openArchive, type Opening, sendArchive } from './tar-stream.ts'

const noLimit = { bodyLimit: Number.MAX_SAFE_INTEGER }
const idIn = ({ params }: FastifyRequest) => (params as { id: string }).id

function pathIn({ query }: FastifyRequest): string {
  const { path } = query as { path?: unknown }
  if (typeof path === 'string') return path
  throw invalid('path', 'must be given once', 'required')
}

/** The parameters of an upload, and its length: an engine asks for it first. */
function uploadIn({ query, headers }: FastifyRequest): Record<string, unknown> {
  const bytes = Number(headers['content-length'])
  if (!Number.isSafeInteger(bytes))
    throw new BadRequestError('The request must have a Content-Length: an engine asks for the length of an archive')
  return { ...(query as object), bytes }
}

async function fromSameOrigin(request: FastifyRequest): Promise<void> {
  if (credentialOf(request)?.from === 'cookie') requireSameOrigin(request)
}

/**
 * Archives over HTTP: files out of a container and into it, a whole container, an image out and in. The bus carries 1 MiB:
 * they travel in parts, each when the one before is taken.
 */
export async function addContainerFiles(app: FastifyInstance, broker: ServiceBroker, gate: Gate): Promise<void> {
  const at = { broker, gate }
  const admitted = (action: Opening, method: string, path: string) => ({
    onRequest: admit(gate, {
      name: `container-streams.${action}`,
      method,
      path,
      action: containerStreams.actions[action],
      contract: containerStreams,
    }),
  })

  /** A route that answers with an archive. */
  const giving = (
    action: Opening,
    path: string,
    filename: string,
    paramsIn: (request: FastifyRequest) => Record<string, unknown>,
  ) => {
    const answer = async (request: FastifyRequest, reply: FastifyReply) => {
      // Fastify has the same handler answer HEAD.
      if (request.method === 'HEAD') return reply.type(mediaType).send()
      return sendArchive(request, reply, await openArchive(at, request, action, paramsIn(request)), filename)
    }
    app.get(`/api${path.replace('{id}', ':id')}`, admitted(action, 'GET', path), answer)
  }
  giving('openFiles', '/containers/{id}/files', 'files.tar', (request) => ({
    id: idIn(request),
    path: pathIn(request),
    write: false,
  }))
  giving('openExport', '/containers/{id}/export', 'container.tar', (request) => ({ id: idIn(request) }))
  giving('openImageExport', '/images/{id}/export', 'image.tar', (request) => ({ id: idIn(request) }))

  /** Gives the body to a stream. @returns its output */
  const taken = async (
    request: FastifyRequest,
    reply: FastifyReply,
    action: Opening,
    params: Record<string, unknown>,
  ): Promise<string> => {
    const body = archiveIn(request)
    const opened = await openArchive(at, request, action, params)
    try {
      return await giveArchive(body, opened)
    } catch (error) {
      // The rest of the body is not read.
      void reply.header('connection', 'close')
      throw error
    } finally {
      await opened.close()
    }
  }
  await app.register(async (inner) => {
    for (const type of [mediaType, 'application/octet-stream'])
      inner.addContentTypeParser(type, (_request, payload, done) => done(null, payload))
    const receiving = (action: Opening, method: string, path: string) => {
      const { onRequest } = admitted(action, method, path)
      return { ...noLimit, onRequest: [onRequest, fromSameOrigin] }
    }
    const filesPath = '/containers/{id}/files'
    inner.put('/api/containers/:id/files', receiving('openFiles', 'PUT', filesPath), async (request, reply) => {
      await taken(request, reply, 'openFiles', { id: idIn(request), path: pathIn(request), write: true })
      return reply.status(204).send()
    })
    inner.post('/api/images/upload', receiving('openImageUpload', 'POST', '/images/upload'), async (request, reply) => {
      // The image, as the service gives it at its end.
      const image = JSON.parse(await taken(request, reply, 'openImageUpload', uploadIn(request))) as { id: string }
      return reply.status(201).header('location', `/api/images/${image.id}`).send(image)
    })
  })
}

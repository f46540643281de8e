import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { type Topic, topics } from '#shared/contracts/core/events.ts'
import { AuthenticationError, ValidationError } from '#shared/errors.ts'
import { log } from '#shared/runtime/log.ts'
import type { Gate } from '../admission/admit.ts'
import { credentialOf } from '../admission/credentials.ts'
import { door } from '../admission/guard-plain-route.ts'
import { controlBytes } from './frame.ts'
import type { Hub } from './hub.ts'
import { createOutlet } from './outlet.ts'
import type { Session, Sessions } from './sessions.ts'
import { subscribe } from './subscribe.ts'
import type { User } from '../admission/identities.ts'

/** A client that does not read cannot be told at once. */
const slowCloseWithinMs = 30_000

const mediaType = 'text/event-stream; charset=utf-8'

const isTopic = (text: string): text is Topic => (topics as readonly string[]).includes(text)

/** `?topics=vm:status,operations`; all of them when none is named, undefined when one is none. */
function topicsOf(text: unknown): Topic[] | undefined {
  if (text === undefined) return [...topics]
  const named = typeof text === 'string' ? text.split(',') : []
  return named.length > 0 && named.every(isTopic) ? named : undefined
}

const isPlace = (text: unknown) =>
  typeof text === 'string' && /^\d{1,16}$/.test(text) && Number.isSafeInteger(Number(text))

type Asked = Pick<FastifyRequest, 'query' | 'headers'>

/**
 * Reads the topics and the start position: Last-Event-ID of a browser that reconnects, or `?from=`.
 * @throws ValidationError with all violations
 */
function wishOf({ query, headers }: Asked): { wanted: Topic[]; from: number | undefined } {
  const { topics: named, from: place, ...unknown } = query as Record<string, unknown>
  const violations = Object.keys(unknown).map((field) => ({
    field,
    code: 'additionalProperties',
    message: 'is not known here',
  }))
  const wanted = topicsOf(named)
  if (!wanted) {
    const message = `must be some of ${topics.join(', ')}, separated by commas`
    violations.push({ field: 'topics', code: 'invalid', message })
  }
  const from = (headers['last-event-id'] ?? place) || undefined
  if (from !== undefined && !isPlace(from))
    violations.push({ field: 'from', code: 'invalid', message: 'must be the seq of the last event that was seen' })
  if (!wanted || violations.length > 0) throw new ValidationError(violations)
  return { wanted, from: from === undefined ? undefined : Number(from) }
}

/** `GET /api/events`: the events as Server-Sent Events, in the envelope that WebSockets have. */
export function addServerSentEvents(
  app: FastifyInstance,
  hub: Hub,
  sessions: Sessions,
  { identify, limits }: Gate,
): void {
  const onRequest = door(limits, 'events.open', async (request) => {
    const credential = credentialOf(request)
    if (!credential) throw new AuthenticationError('Sign in first: no valid session, token or API key came with it')
    request.caller = await identify(credential, request.address)
  })
  app.get('/api/events', { onRequest }, async (request, reply) => {
    const { wanted, from } = wishOf(request)
    // Fastify has the same handler answer HEAD, which has no end to wait for.
    if (request.method === 'HEAD') return reply.type(mediaType).send()
    // The door lets nobody else in.
    await serveEvents(reply, { user: request.caller as User, wanted, from }, hub, sessions)
  })
}

type Wish = { user: User; wanted: Topic[]; from: number | undefined }

async function serveEvents(
  reply: FastifyReply,
  { user, wanted, from }: Wish,
  hub: Hub,
  sessions: Sessions,
): Promise<void> {
  const { raw } = reply
  let session: Session | undefined
  let isOver = false
  const backlog = () => Math.max(raw.writableLength, raw.socket?.writableLength ?? 0)
  const isOpen = () => !isOver && !raw.destroyed
  const end = (message?: string) => {
    if (!isOpen()) return
    if (message) raw.write(controlBytes('sse', hub.place(session?.reader), 'Error', { message }))
    isOver = true
    raw.end()
    if (session) sessions.end(session)
  }
  const tooSlow = () => {
    end('More than 1 MiB of events was waiting to be read')
    setTimeout(() => raw.destroy(), slowCloseWithinMs).unref()
  }
  const outlet = createOutlet(raw, backlog, { isOpen, tooSlow })
  session = await sessions.open(user, {
    close: (why) => end(why === 'expired' ? 'The credentials are no longer valid' : undefined),
    ping: () => session?.reader && hub.say(session.reader, 'Ping', {}),
  })
  const opened = session
  raw.on('close', () => {
    isOver = true
    sessions.end(opened)
  })
  // From here on the answer is written piece by piece, past Fastify.
  reply.hijack()
  raw.writeHead(200, {
    ...(reply.getHeaders() as Record<string, string>),
    'content-type': mediaType,
    'x-accel-buffering': 'no',
  })
  raw.write('retry: 1000\n\n')
  try {
    await subscribe(hub, opened, { medium: 'sse', outlet }, wanted, from)
  } catch (error) {
    // The answer has begun: all that is left is to have the client come again.
    log('gateway').debug({ err: error as Error }, 'a stream of events could not begin')
    end('The events cannot be read for now')
  }
  if (!isOpen()) sessions.end(opened)
}

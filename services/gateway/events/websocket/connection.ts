import type { FastifyRequest } from 'fastify'
import type { WebSocket } from 'ws'
import { AppError, AuthenticationError, BadRequestError, InternalError } from '#shared/errors.ts'
import { log } from '#shared/runtime/log.ts'
import { tokenOrKey } from '../../admission/credentials.ts'
import { controlBytes } from '../frame.ts'
import type { Hub } from '../hub.ts'
import { createOutlet } from '../outlet.ts'
import type { Goodbye, Session, Sessions } from '../sessions.ts'
import { subscribe } from '../subscribe.ts'
import { errorBody } from '../../rest/errors.ts'
import type { Identify, User } from '../../admission/identities.ts'
import { recordRefusedProof } from '../../admission/audit-denied.ts'
import { readMessage } from './message.ts'

const subscribeWithinMs = 10_000
const closeWithinMs = 5000
/** Limit of invalid tokens on one connection. */
const mostRefusals = 5
/** A client that does not read cannot be told at once. */
const slowCloseWithinMs = 30_000

/** Close codes: the protocol's own for going away, ours (4000 and up) like the HTTP status of the same thing. */
const codes = { stopping: 1001, expired: 4401, refused: 4401, tooLate: 4408, tooSlow: 4429 }
const reasons = {
  stopping: 'The gateway is stopping',
  expired: 'The credentials are no longer valid',
  refused: 'Too many credentials that are not valid',
  tooLate: 'No topics were asked for within 10 s',
  tooSlow: 'More than 1 MiB of events was waiting to be read',
}

/** One WebSocket, from its opening to its end. */
export function serveSocket(
  socket: WebSocket,
  request: FastifyRequest,
  { hub, sessions, identify }: { hub: Hub; sessions: Sessions; identify: Identify },
): void {
  const { address, caller, id: requestId } = request
  const stream = request.raw.socket
  let session: Session | undefined
  let isAnswering = true

  const isOpen = () => socket.readyState === socket.OPEN
  const place = () => hub.place(session?.reader)
  const tell = (error: AppError) => {
    // The frame goes past the library, like those of events: in one order, and made only once.
    if (isOpen()) stream.write(controlBytes('ws', place(), 'Error', errorBody(error, requestId)))
  }
  const close = (why: keyof typeof codes) => {
    if (!isOpen()) return
    if (why !== 'stopping') tell(new BadRequestError(reasons[why]))
    socket.close(codes[why], reasons[why])
    setTimeout(() => socket.terminate(), why === 'tooSlow' ? slowCloseWithinMs : closeWithinMs).unref()
    if (session) sessions.end(session)
  }
  const outlet = createOutlet(stream, () => stream.writableLength, { isOpen, tooSlow: () => close('tooSlow') })
  const ends = {
    close: (why: Goodbye) => close(why),
    ping: () => {
      if (!isAnswering) return socket.terminate()
      isAnswering = false
      socket.ping()
      if (session?.reader) hub.say(session.reader, 'Ping', {})
    },
  }
  const deadline = setTimeout(() => close('tooLate'), subscribeWithinMs)

  const prove = async (user: User) => {
    if (session) await sessions.prove(session, user)
    else session = await sessions.open(user, ends)
    if (!isOpen()) sessions.end(session)
  }
  let refusals = 0
  const refuse = async (error: unknown): Promise<never> => {
    await recordRefusedProof(request, 'events.open', error)
    if (error instanceof AuthenticationError && ++refusals >= mostRefusals) close('refused')
    throw error
  }
  const handle = async (text: string) => {
    const { token, topics, from } = readMessage(text)
    if (token !== undefined) await prove(await identify(tokenOrKey(token), address).catch(refuse))
    if (!topics) {
      if (token === undefined || from !== undefined)
        throw new BadRequestError('Say which events are wanted: {"topics": ["vm:status"], "from": 123}')
      return
    }
    if (!session) throw new AuthenticationError('Sign in first: send {"token": "…"}')
    await subscribe(hub, session, { medium: 'ws', outlet }, topics, from)
    if (!isOpen()) sessions.end(session)
    clearTimeout(deadline)
  }
  const inOrder = (work: () => Promise<void>) =>
    work().catch((error: unknown) => {
      if (!(error instanceof AppError)) log('gateway').error({ err: error, request_id: requestId }, 'a bug in a socket')
      tell(error instanceof AppError ? error : new InternalError('Internal error'))
    })

  let queue = caller.kind === 'user' ? inOrder(() => prove(caller)) : Promise.resolve()
  socket.on('message', (data, isBinary) => {
    const text = isBinary ? '' : String(data)
    queue = queue.then(() => inOrder(() => handle(text)))
  })
  socket.on('pong', () => (isAnswering = true))
  socket.on('error', (error) => log('gateway').debug({ err: error, request_id: requestId }, 'a socket failed'))
  socket.on('close', () => {
    clearTimeout(deadline)
    if (session) sessions.end(session)
  })
}

import { setTimeout as delay } from 'node:timers/promises'
import type { ServiceBroker } from 'moleculer'
import { asService } from '#shared/access/access.ts'
import type { Privilege } from '#shared/access/privileges.ts'
import { within } from '#shared/runtime/request-context.ts'
import { AuthenticationError, ForbiddenError } from '#shared/errors.ts'
import { log } from '#shared/runtime/log.ts'
import { rightsOf } from '#shared/service/rights.ts'
import type { Identities, User } from '../admission/identities.ts'
import { type Closing, codes } from './closing.ts'

/** Releases a resource; its promise is awaited before the end is recorded. */
type Undo = (why: Closing) => void | Promise<unknown>

/** A console or a stream, opened by a ticket. */
type Opened = { ticket_id: string; user: string; credential: User['credential'] }
/** The use of a ticket, from an address. */
type Asked = { address: string }
type Right = { privilege: Privilege; path: string }

/** A kind of sessions: the calls that open and close them, and the right that their users must have all the time. */
type SessionKind<O extends Opened, A extends Asked> = {
  /** Such as `a console`, for messages. */
  what: string
  redeem: (asked: A) => Promise<O>
  /** The open ones that have to be closed. */
  keep: (ticketIds: string[]) => Promise<{ ticket_id: string; reason: string }[]>
  close: (ticketId: string, reason: string) => Promise<unknown>
  rightOf: (opened: O) => Right
}

/** Something that somebody has open: from the use of its ticket to its end. */
export type Session<O extends Opened = Opened> = {
  opened: O
  user: User
  /** Ends it, the first time that it is called: tells the client, lets go of everything, and puts it on record. */
  end: (why: Closing) => void
  /** Called once, when it ends. */
  onEnd: (undo: Undo) => void
  isOpen: () => boolean
}
export type Sessions<O extends Opened, A extends Asked> = {
  inContext: <T>(work: () => T) => T
  /** @throws AuthenticationError, ForbiddenError, or UnavailableError when nobody can say */
  prove: (user: User, right: Right) => Promise<User>
  /** Uses a ticket up. @throws what the ticket's user would be told by any other route */
  open: (asked: A) => Promise<Session<O>>
  stop: () => Promise<void>
}

const lookEveryMs = 2000
/** Time that a console stays open while auth does not answer. */
const patienceMs = 10_000
const recordWithinMs = 60_000

/**
 * All sessions of a kind that are open at this gateway. They are closed when the user loses the right, or the credential
 * expires.
 */
export function createSessions<O extends Opened, A extends Asked>(
  broker: ServiceBroker,
  { recheck, onChanged }: Identities,
  { what, redeem, keep, close, rightOf }: SessionKind<O, A>,
): Sessions<O, A> {
  const open = new Map<string, Session<O>>()
  const ending = new Set<Promise<void>>()
  const seenAt = new Map<string, number>()
  const inContext = <T>(work: () => T) =>
    within({ broker, service: 'gateway', caller: asService('gateway'), requestId: 'sessions' }, work)

  const prove = async (user: User, { privilege, path }: Right): Promise<User> => {
    const proven = await recheck(user)
    if ((await rightsOf(proven)).allows(privilege, path)) return proven
    throw new ForbiddenError(`User '${user.user}' lacks the privilege ${privilege} on ${path}`, {
      details: { user: user.user, privilege, path },
    })
  }

  /** Tries for a while: a record that is lost, the vm service makes good only when this process has gone. */
  const record = (ticket_id: string, reason: string, undone?: Promise<unknown>) => {
    const write = async () => {
      await undone
      const begin = performance.now()
      for (;;) {
        try {
          await close(ticket_id, reason)
          return
        } catch (error) {
          if (performance.now() - begin > recordWithinMs) {
            log('gateway').warn({ err: error, ticket_id }, `the end of ${what} could not be put on record`)
            return
          }
          await delay(500, undefined, { ref: false })
        }
      }
    }
    const writing = inContext(write).finally(() => ending.delete(writing))
    ending.add(writing)
  }

  const hold = (opened: O, user: User): Session<O> => {
    const undos: Undo[] = []
    let isOpen = true
    const end = (why: Closing) => {
      if (!isOpen) return
      isOpen = false
      open.delete(opened.ticket_id)
      seenAt.delete(opened.ticket_id)
      const undone = Promise.allSettled(undos.toReversed().map((undo) => undo(why)))
      record(opened.ticket_id, why.reason, undone)
    }
    const onEnd = (undo: Undo) => void undos.push(undo)
    const session = { opened, user, end, onEnd, isOpen: () => isOpen }
    open.set(opened.ticket_id, session)
    seenAt.set(opened.ticket_id, performance.now())
    return session
  }

  const verify = async (session: Session<O>): Promise<void> => {
    const { ticket_id } = session.opened
    try {
      session.user = await prove(session.user, rightOf(session.opened))
      if (session.isOpen()) seenAt.set(ticket_id, performance.now())
    } catch (error) {
      if (error instanceof AuthenticationError)
        session.end({ code: codes.expired, reason: `The sign-in has ended: ${error.message}` })
      else if (error instanceof ForbiddenError) session.end({ code: codes.forbidden, reason: error.message })
      else if (performance.now() - (seenAt.get(ticket_id) ?? 0) > patienceMs)
        session.end({ code: codes.unavailable, reason: `Nobody can say whether ${what} may stay open` })
    }
  }
  const verifyAll = (wanted: Session<O>[]) => inContext(() => Promise.all(wanted.map(verify)))
  onChanged((name) => void verifyAll([...open.values()].filter(({ user }) => name === undefined || user.user === name)))

  /** Reads what all of them are opened on, in one call. */
  const lookAtAll = async () => {
    const over = await inContext(() => keep([...open.keys()]))
    for (const { ticket_id, reason } of over) open.get(ticket_id)?.end({ code: codes.gone, reason })
  }
  const look = async () => {
    if (open.size === 0) return
    await lookAtAll().catch((error: Error) => log('gateway').debug({ err: error }, 'sessions are not looked at'))
    await verifyAll([...open.values()])
  }
  let looking = Promise.resolve()
  let isLooking = false
  const timer = setInterval(() => {
    if (isLooking) return
    isLooking = true
    looking = look().finally(() => (isLooking = false))
  }, lookEveryMs)

  return {
    inContext,
    prove: (user, right) => inContext(() => prove(user, right)),
    open: (asked) =>
      inContext(async () => {
        const opened = await redeem(asked)
        const { user: owner, credential, ticket_id } = opened
        const { address } = asked
        try {
          return hold(
            opened,
            await prove({ kind: 'user', user: owner, rights: '', address, credential }, rightOf(opened)),
          )
        } catch (error) {
          record(ticket_id, (error as Error).message)
          throw error
        }
      }),
    stop: async () => {
      clearInterval(timer)
      for (const session of open.values()) session.end({ code: codes.stopping, reason: 'The gateway is stopping' })
      await looking
      await Promise.race([Promise.all(ending), delay(2000, undefined, { ref: false })])
    },
  }
}

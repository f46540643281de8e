import { setTimeout as delay } from 'node:timers/promises'
import type { ServiceBroker } from 'moleculer'
import { asService } from '#shared/access/access.ts'
import { call } from '#shared/bus/call.ts'
import { consoles, type Opened } from '#shared/contracts/vm/consoles.ts'
import { within } from '#shared/runtime/request-context.ts'
import { AuthenticationError, ForbiddenError } from '#shared/errors.ts'
import { log } from '#shared/runtime/log.ts'
import { rightsOf } from '#shared/service/rights.ts'
import type { Identities, User } from '../admission/identities.ts'
import { type Closing, codes } from './closing.ts'

/** Releases a resource; its promise is awaited before the end is recorded. */
type Undo = (why: Closing) => void | Promise<unknown>

/** A console that somebody has open: from the use of its ticket to its end. */
export type Session = {
  opened: Opened
  user: User
  /** Ends it, the first time that it is called: tells the client, lets go of everything, and puts it on record. */
  end: (why: Closing) => void
  /** Called once, when it ends. */
  onEnd: (undo: Undo) => void
  isOpen: () => boolean
}
type Shown = {
  ticket: string
  vmId: string | null
  address: string
  /** User of the session, if known. */ user: string | null
}
export type ConsoleSessions = ReturnType<typeof createConsoleSessions>

const lookEveryMs = 2000
/** Time that a console stays open while auth does not answer. */
const patienceMs = 10_000
const recordWithinMs = 60_000

/**
 * All consoles that are open at this gateway. They are closed when the user loses the right, or the credential expires.
 */
export function createConsoleSessions(broker: ServiceBroker, { recheck, onChanged }: Identities) {
  const open = new Map<string, Session>()
  const ending = new Set<Promise<void>>()
  const seenAt = new Map<string, number>()
  const inContext = <T>(work: () => T) =>
    within({ broker, service: 'gateway', caller: asService('gateway'), requestId: 'consoles' }, work)

  /** @throws AuthenticationError, ForbiddenError, or UnavailableError when nobody can say */
  const prove = async (user: User, vmId: string): Promise<User> => {
    const proven = await recheck(user)
    const path = `/api/vms/${vmId}`
    if ((await rightsOf(proven)).allows('VmConsole', path)) return proven
    throw new ForbiddenError(`User '${user.user}' lacks the privilege VmConsole on ${path}`, {
      details: { user: user.user, privilege: 'VmConsole', path },
    })
  }

  /** Tries for a while: a record that is lost, the vm service makes good only when this process has gone. */
  const record = (ticket_id: string, reason: string, undone?: Promise<unknown>) => {
    const write = async () => {
      await undone
      const begin = performance.now()
      for (;;) {
        try {
          await call(consoles, 'close', { ticket_id, reason })
          return
        } catch (error) {
          if (performance.now() - begin > recordWithinMs) {
            log('gateway').warn({ err: error, ticket_id }, 'the end of a console could not be put on record')
            return
          }
          await delay(500, undefined, { ref: false })
        }
      }
    }
    const writing = inContext(write).finally(() => ending.delete(writing))
    ending.add(writing)
  }

  const hold = (opened: Opened, user: User): Session => {
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

  const verify = async (session: Session): Promise<void> => {
    const { ticket_id, vm_id } = session.opened
    try {
      session.user = await prove(session.user, vm_id)
      if (session.isOpen()) seenAt.set(ticket_id, performance.now())
    } catch (error) {
      if (error instanceof AuthenticationError)
        session.end({ code: codes.expired, reason: `The sign-in has ended: ${error.message}` })
      else if (error instanceof ForbiddenError) session.end({ code: codes.forbidden, reason: error.message })
      else if (performance.now() - (seenAt.get(ticket_id) ?? 0) > patienceMs)
        session.end({ code: codes.unavailable, reason: 'Nobody can say whether this console may stay open' })
    }
  }
  const verifyAll = (wanted: Session[]) => inContext(() => Promise.all(wanted.map(verify)))
  onChanged((name) => void verifyAll([...open.values()].filter(({ user }) => name === undefined || user.user === name)))

  /** Reads the state of the guests, in one call for all consoles. */
  const lookAtGuests = async () => {
    const over = await inContext(() => call(consoles, 'keep', { ticket_ids: [...open.keys()] }))
    for (const { ticket_id, reason } of over) open.get(ticket_id)?.end({ code: codes.gone, reason })
  }
  const look = async () => {
    if (open.size === 0) return
    await lookAtGuests().catch((error: Error) => log('gateway').debug({ err: error }, 'consoles are not looked at'))
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
    prove: (user: User, vmId: string) => inContext(() => prove(user, vmId)),
    /** Uses a ticket up. @throws what the ticket's user would be told by any other route */
    open: ({ ticket, vmId, address, user }: Shown): Promise<Session> =>
      inContext(async () => {
        const gateway = broker.nodeID
        const opened = await call(consoles, 'redeem', { vm_id: vmId, ticket, address, gateway, user })
        const { user: owner, credential, ticket_id, vm_id } = opened
        try {
          return hold(opened, await prove({ kind: 'user', user: owner, rights: '', address, credential }, vm_id))
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

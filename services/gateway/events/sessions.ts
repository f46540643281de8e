import type { ServiceBroker } from 'moleculer'
import { asService } from '#shared/access/access.ts'
import { within } from '#shared/runtime/request-context.ts'
import { AuthenticationError } from '#shared/errors.ts'
import { rightsOf } from '#shared/service/rights.ts'
import type { Identities, User } from '../admission/identities.ts'
import { type Audience, audienceOf } from './audience.ts'
import type { Hub, Reader } from './hub.ts'

/** A connection that is given events, and who is at its other end. */
export type Session = {
  user: User
  audience: Audience
  /** True while its credential is known to be valid; otherwise it is sent nothing. */
  isSure: boolean
  /** Counts the looks, so that one that was overtaken says nothing more. */
  look: number
  reader?: Reader
  /** Tells the client why, and ends the connection. */
  close: (why: Goodbye) => void
  /** A sign of life, when there is nothing else to say. */
  ping: () => void
}
export type Goodbye = 'expired' | 'stopping'

export type Sessions = ReturnType<typeof createSessions>

const pingEveryMs = 30_000
const retryMs = 500
const clockEveryMs = 250
const checksAtOnce = 50

/** All event connections of this gateway. A user who loses rights is sent nothing more from then on. */
export function createSessions(broker: ServiceBroker, hub: Hub, { recheck, isCurrent, onChanged }: Identities) {
  const sessions = new Set<Session>()

  const audienceFor = async (user: User) => {
    const context = { broker, service: 'gateway', caller: asService('gateway'), requestId: 'events' }
    return audienceOf(user, await within(context, () => rightsOf(user)))
  }

  /** Gives it nothing until it is known what it may have. */
  const doubt = (session: Session) => {
    session.isSure = false
    if (session.reader) hub.pause(session.reader)
  }

  /** Looks whether what a connection proved still holds; while nobody can say, it is given nothing. */
  const verify = async (session: Session): Promise<void> => {
    const look = ++session.look
    const isOvertaken = () => !sessions.has(session) || session.look !== look
    if (isOvertaken()) return
    try {
      const user = await recheck(session.user)
      const audience = await audienceFor(user)
      if (isOvertaken()) return
      const { reader } = session
      const isSame = audience.key === session.audience.key
      Object.assign(session, { user, audience, isSure: true })
      if (!reader) return
      if (!isSame) {
        hub.pause(reader)
        reader.audience = audience
        // No event tells a user what a right that was given or taken shows or hides.
        hub.say(reader, 'Resync', { reason: 'Your rights have changed' })
      }
      hub.resume(reader)
    } catch (error) {
      if (isOvertaken()) return
      if (error instanceof AuthenticationError) return session.close('expired')
      doubt(session)
      setTimeout(() => void verify(session), retryMs).unref()
    }
  }

  const verifyAll = async (wanted: Session[]) => {
    const left = wanted.values()
    const worker = async () => {
      for (const session of left) await verify(session)
    }
    await Promise.all(Array.from({ length: checksAtOnce }, worker))
  }
  onChanged((user) => {
    const concerned = [...sessions].filter((session) => user === undefined || session.user.user === user)
    for (const session of concerned) doubt(session)
    void verifyAll(concerned)
  })

  const timer = setInterval(() => {
    for (const session of sessions) session.ping()
    void verifyAll([...sessions])
  }, pingEveryMs)
  const asking = new Set<Session>()
  /** Grants that end or begin by the clock: nobody tells of these. */
  const clock = setInterval(() => {
    const now = Date.now()
    const isOver = ({ user: { until = Infinity } }: Session) => until <= now
    for (const session of sessions) {
      if (!isOver(session) || asking.has(session)) continue
      asking.add(session)
      doubt(session)
      void verify(session).finally(() => asking.delete(session))
    }
  }, clockEveryMs)

  return {
    /** @throws UnavailableError when nobody can say what the user may, AuthenticationError when it is no user any more */
    open: async (proven: User, ends: Pick<Session, 'close' | 'ping'>): Promise<Session> => {
      let user = proven
      let audience = await audienceFor(user)
      // A change that is announced before the connection is registered does not reach it.
      while (!isCurrent(user)) {
        user = await recheck(user)
        audience = await audienceFor(user)
      }
      const session = { user, audience, isSure: true, look: 0, ...ends }
      sessions.add(session)
      return session
    },
    /** Replaces the credential of a connection; the user may be another one. */
    prove: async (session: Session, user: User): Promise<void> => {
      session.user = user
      await verify(session)
    },
    end: (session: Session) => {
      sessions.delete(session)
      if (session.reader) hub.remove(session.reader)
    },
    stop: () => {
      clearInterval(timer)
      clearInterval(clock)
      for (const session of sessions) session.close('stopping')
    },
  }
}

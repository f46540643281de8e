import type { ServiceBroker } from 'moleculer'
import { asService, type Caller } from '#shared/access.ts'
import { within } from '#shared/current.ts'
import { AuthenticationError } from '#shared/errors.ts'
import { rightsOf } from '#shared/rights.ts'
import type { Credential, Identities } from '../credentials.ts'
import { type Audience, audienceOf } from './audience.ts'
import type { Hub, Reader } from './hub.ts'

/** A connection that is given events, and what it showed to be allowed to. */
export type Session = {
  credential: Credential
  address: string
  user: string
  audience: Audience
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
const checksAtOnce = 50

/** All connections of this gateway. Whoever loses rights is given nothing more from then on. */
export function createSessions(broker: ServiceBroker, hub: Hub, { identify, onChanged }: Identities) {
  const sessions = new Set<Session>()

  /** @throws AuthenticationError or UnavailableError */
  const audienceFor = async (credential: Credential, address: string) => {
    const { caller } = await identify(credential, address)
    return { user: caller.user, audience: audienceOf(caller, await rights(caller)) }
  }
  const rights = (caller: Caller) => {
    const context = { broker, service: 'gateway', caller: asService('gateway'), requestId: 'events' }
    return within(context, () => rightsOf(caller))
  }

  /** Looks again at what a connection showed; while nobody can say, it is given nothing. */
  const verify = async (session: Session): Promise<void> => {
    if (!sessions.has(session)) return
    try {
      const { user, audience } = await audienceFor(session.credential, session.address)
      if (!sessions.has(session)) return
      const { reader } = session
      const isSame = audience.key === session.audience.key
      Object.assign(session, { user, audience })
      if (!reader) return
      if (!isSame) {
        hub.pause(reader)
        reader.audience = audience
      }
      hub.resume(reader)
    } catch (error) {
      if (error instanceof AuthenticationError) return session.close('expired')
      if (session.reader) hub.pause(session.reader)
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
  onChanged((user) => void verifyAll([...sessions].filter((session) => user === undefined || session.user === user)))

  const timer = setInterval(() => {
    for (const session of sessions) session.ping()
    void verifyAll([...sessions])
  }, pingEveryMs)

  return {
    /** The session of a credential. @throws AuthenticationError or UnavailableError */
    open: async (credential: Credential, address: string, ends: Pick<Session, 'close' | 'ping'>): Promise<Session> => {
      const session = { credential, address, ...(await audienceFor(credential, address)), ...ends }
      sessions.add(session)
      return session
    },
    /** Replaces what a connection showed. */
    prove: async (session: Session, credential: Credential): Promise<void> => {
      await audienceFor(credential, session.address)
      session.credential = credential
      await verify(session)
    },
    end: (session: Session) => {
      sessions.delete(session)
      if (session.reader) hub.remove(session.reader)
    },
    stop: () => {
      clearInterval(timer)
      for (const session of sessions) session.close('stopping')
    },
  }
}

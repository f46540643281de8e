import { hash } from 'node:crypto'
import type { FastifyRequest } from 'fastify'
import { LRUCache } from 'lru-cache'
import type { ServiceBroker } from 'moleculer'
import { Events } from 'nats'
import { asService, type Caller, type Proof } from '#shared/access.ts'
import { bus } from '#shared/bus.ts'
import { question } from '#shared/call.ts'
import { AuthenticationError } from '#shared/errors.ts'

/** What a request shows to say who sent it. */
export type Credential = { by: Proof['by']; credential: string; from: 'header' | 'cookie' }
/** Who it turned out to be, and until when at most that holds (milliseconds since 1970). */
export type Identity = { caller: Caller & { kind: 'user' }; expiresAt: number }

export const sessionCookie = 'horcrux_session'

/**
 * The one credential that counts: a token or key in a header before the cookie, which browsers send unasked.
 * @throws AuthenticationError for an Authorization header of a kind that is not known here
 */
export function credentialOf({ headers }: Pick<FastifyRequest, 'headers'>): Credential | null {
  const { authorization } = headers
  if (authorization !== undefined) {
    const token = /^Bearer +(\S+)$/i.exec(authorization)?.[1]
    if (token === undefined) throw new AuthenticationError('Authorization: only `Bearer <token>` is known here')
    return tokenOrKey(token)
  }
  const key = headers['x-api-key']
  if (typeof key === 'string') return { by: 'api_key', credential: key, from: 'header' }
  const session = headers.cookie === undefined ? undefined : cookieOf(headers.cookie)
  return session === undefined ? null : { by: 'session', credential: session, from: 'cookie' }
}

/** Programs that can only send a bearer token may send their API key as one. */
export const tokenOrKey = (text: string): Credential => ({
  by: text.startsWith('hx_') ? 'api_key' : 'token',
  credential: text,
  from: 'header',
})

const cookiePattern = new RegExp(`(?:^|;) *${sessionCookie}=([^;]+)`)
const cookieOf = (header: string) => {
  const value = cookiePattern.exec(header)?.[1]?.trim()
  return value?.includes('%') ? decoded(value) : value
}
const decoded = (value: string) => {
  try {
    return decodeURIComponent(value)
  } catch {
    return value
  }
}

const keptMs = 1000

type Answer = { user?: string; identity: Promise<Identity> }
type Identified = {
  user: string
  rights: string
  proof: Proof
  expires_at: string
}

export type Identify = (credential: Credential, address: string) => Promise<Identity>

/** Who shows which credential. */
export type Identities = {
  identify: Identify
  /** Hears whose answers no longer hold (everybody's without a name), after they were forgotten. */
  onChanged: (heard: Heard) => void
  stop: () => void
}
type Heard = (user?: string) => void

/** Asks the auth service who shows a credential; an answer counts for a second, or until auth says that rights changed. */
export function createIdentities(broker: ServiceBroker): Identities {
  const known = new LRUCache<string, Answer>({ max: 10_000, ttl: keptMs })
  const forget = (user?: string) => {
    if (user === undefined) return known.clear()
    // An answer that is still on its way has no user yet; it may be of before the change.
    for (const [key, answer] of known.entries())
      if (answer.user === undefined || answer.user === user) known.delete(key)
  }
  const listeners: Heard[] = [forget]
  const stop = onAuthChanged((user) => {
    for (const heard of listeners) heard(user)
  })

  const ask = async ({ by, credential }: Credential, address: string): Promise<Identity> => {
    // The contract of auth.identify gives the result this shape.
    const found = (await question(
      broker,
      'auth.identify',
      { by, credential, address },
      { caller: asService('gateway') },
    )) as Identified
    const { user, rights, proof, expires_at } = found
    return { caller: { kind: 'user', user, rights, address, proof }, expiresAt: Date.parse(expires_at) }
  }

  const identify: Identify = (credential, address) => {
    const key = hash('sha256', `${credential.by}\n${address}\n${credential.credential}`, 'base64')
    const answer = known.get(key)
    if (answer) return answer.identity
    const asked: Answer = { identity: ask(credential, address) }
    known.set(key, asked)
    asked.identity.then(
      ({ caller }) => (asked.user = caller.user),
      (error: unknown) => {
        // A service that does not answer has said nothing.
        if (!(error instanceof AuthenticationError) && known.peek(key) === asked) known.delete(key)
      },
    )
    return asked.identity
  }
  return { identify, onChanged: (heard) => void listeners.push(heard), stop }
}

const authChangedSubject = 'horcrux.auth.changed'

/**
 * Hears that somebody's rights or credentials changed; without a name it may be anybody's, as it is when the bus was
 * away and something may have been missed. @returns a function that stops it
 */
function onAuthChanged(heard: Heard): () => void {
  const { nats } = bus()
  const subscription = nats.subscribe(authChangedSubject, {
    callback: (error, message) => {
      if (!error) heard(message.json<{ user?: string }>().user)
    },
  })
  let stopped = false
  const watch = async () => {
    for await (const { type } of nats.status()) {
      if (stopped) return
      if (type === Events.Reconnect) heard()
    }
  }
  void watch()
  return () => {
    stopped = true
    subscription.unsubscribe()
  }
}

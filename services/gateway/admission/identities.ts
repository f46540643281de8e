import { hash } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import type { ServiceBroker } from 'moleculer'
import { asService, type Caller } from '#shared/access/access.ts'
import { listen, onBusChange } from '#shared/bus/bus.ts'
import { question, send } from '#shared/bus/call.ts'
import { authChangedSubject, type Identity } from '#shared/contracts/access/auth.ts'
import { AuthenticationError } from '#shared/errors.ts'
import type { Credential } from './credentials.ts'

export type User = Caller & { kind: 'user' }
/** @throws AuthenticationError, or UnavailableError when nobody can say */
export type Identify = (credential: Credential, address: string) => Promise<User>
type Heard = (user?: string) => void

/** Identities by credential, cached from the answers of the auth service. */
export type Identities = {
  /** An answer is cached for a second, or until auth announces a change, or the credential or a right expires. */
  identify: Identify
  /** As `identify`, when the answer is at hand. */
  known: (credential: Credential, address: string) => User | undefined
  /** Asks auth again for the validity and the rights of an accepted credential; never answered from the cache. */
  recheck: (user: User) => Promise<User>
  /** False if auth has announced a change since this answer was requested. */
  isCurrent: (user: User) => boolean
  /** Uses up a one-time ticket. @returns its user */
  redeem: (ticket: string, address: string) => Promise<User>
  /** Hears whose answers no longer hold (everybody's without a name), after they were forgotten. */
  onChanged: (heard: Heard) => void
  stop: () => void
}

const keptMs = 1000
/** Sends to one replica only: the call uses up what it asks for. */
const once: typeof question = (broker, action, params, meta, timeoutMs) =>
  send(broker, action, params, meta, timeoutMs, true)
/** `now` is who it is, once that is known. */
type Answer = { now?: User; user: Promise<User> }
const holds = ({ now }: Answer) => now?.until === undefined || Date.now() < now.until

export function createIdentities(broker: ServiceBroker): Identities {
  const known = new LRUCache<string, Answer>({ max: 10_000, ttl: keptMs })
  const forget: Heard = (name) => {
    if (name === undefined) return known.clear()
    // An answer that is still on its way has no name yet; it may be of before the change.
    for (const [key, answer] of known.entries())
      if (answer.now === undefined || answer.now.user === name) known.delete(key)
  }
  let heardCount = 0
  let heardOfAll = 0
  const heardOf = new LRUCache<string, number>({ max: 10_000 })
  /** Count of the announced changes when an answer was requested. */
  const askedAt = new WeakMap<User, number>()
  const remark: Heard = (name) => {
    heardCount++
    if (name === undefined) heardOfAll = heardCount
    else heardOf.set(name, heardCount)
  }
  const listeners: Heard[] = [remark, forget]
  const stop = onAuthChanged((name) => {
    for (const heard of listeners) heard(name)
  })

  const ask = async (action: string, params: object, address: string, how = question): Promise<User> => {
    const meta = { caller: asService('gateway') }
    const at = heardCount
    // All three actions of the contract answer an Identity.
    const identity = (await how(broker, action, { ...params, address }, meta)) as Identity
    const { user, rights, credential, expires_at, rights_until } = identity
    const ends = [expires_at, rights_until].flatMap((time) => (time === null ? [] : Date.parse(time)))
    const answer: User = { kind: 'user', user, rights, address, credential, until: Math.min(...ends) }
    askedAt.set(answer, at)
    return answer
  }

  const remember = async (key: string, asked: Answer) => {
    known.set(key, asked)
    try {
      asked.now = await asked.user
    } catch (error) {
      // A service that does not answer has said nothing.
      if (!(error instanceof AuthenticationError) && known.peek(key) === asked) known.delete(key)
    }
  }

  const keys = new WeakMap<Credential, { address: string; key: string }>()
  /** A name for who shows what from where. */
  const keyOf = (shown: Credential, address: string): string => {
    const made = keys.get(shown)
    if (made?.address === address) return made.key
    const key = hash('sha256', `${shown.by}\n${address}\n${shown.credential}`, 'base64')
    keys.set(shown, { address, key })
    return key
  }

  return {
    identify: (shown, address) => {
      const { by, credential } = shown
      const key = keyOf(shown, address)
      const answer = known.get(key)
      if (answer && holds(answer)) return answer.user
      const asked: Answer = { user: ask('auth.identify', { by, credential }, address) }
      void remember(key, asked)
      return asked.user
    },
    known: (shown, address) => {
      const answer = known.get(keyOf(shown, address))
      return answer && holds(answer) ? answer.now : undefined
    },
    recheck: ({ user, credential, address }) => ask('auth.recheck', { user, credential }, address),
    redeem: (ticket, address) => ask('auth.redeem', { ticket }, address, once),
    isCurrent: (user) => (askedAt.get(user) ?? -1) >= Math.max(heardOfAll, heardOf.get(user.user) ?? 0),
    onChanged: (heard) => void listeners.push(heard),
    stop,
  }
}

/**
 * Hears that somebody's rights or credentials changed; without a name it may be anybody's, as it is when the bus was
 * away and something may have been missed. @returns a function that stops it
 */
function onAuthChanged(heard: Heard): () => void {
  const stopListening = listen(authChangedSubject, (message) => heard(message.json<{ user?: string }>().user))
  const stopWatching = onBusChange((change) => change === 'back' && heard())
  return () => {
    stopWatching()
    stopListening()
  }
}

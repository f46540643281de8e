import { hash } from 'node:crypto'
import type { FastifyRequest } from 'fastify'
import { LRUCache } from 'lru-cache'
import type { Caller } from '#shared/access/access.ts'
import { onBusChange } from '#shared/bus/bus.ts'
import type { Action } from '#shared/contract/contract.ts'
import { onChange } from '#shared/db/changes.ts'
import { AuthenticationError, ForbiddenError } from '#shared/errors.ts'
import { type Answer, type Route, withText } from './answer.ts'

/** Answers to questions that are made of collections alone, kept until one of these changes. */
export type Cache = {
  keeps: (route: Route) => boolean
  /** The kept answer, when it is at hand. */
  known: (route: Route, request: FastifyRequest) => Answer | undefined
  /** The kept answer for these rights and this address, or a new one; who asks the same at once is answered once. */
  answer: (route: Route, request: FastifyRequest, ask: () => Promise<Answer>) => Promise<Answer>
  /** Forgets what is made of the same collections as the answers of this route's resource. */
  drop: (route: Route) => void
  stop: () => void
}

/** Not longer than this, because word of a change may be lost when the bus is away. Milliseconds. */
const keptMs = 1000
const maxBytes = 64 * 1_048_576
const smallBytes = 1000

/** `now` is the answer, once it has come. */
type Kept = { answer: Promise<Answer>; now?: Answer; stamp: number; bytes: number }

const cachedFrom = (action: Action): readonly string[] => ('cachedFrom' in action ? (action.cachedFrom ?? []) : [])
const rightsOf = (caller: Caller) => (caller.kind === 'user' ? caller.rights : '')

export function createCache(): Cache {
  const kept = new LRUCache<string, Kept>({ maxSize: maxBytes, sizeCalculation: ({ bytes }) => bytes, ttl: keptMs })
  /** How often each collection has changed. */
  const changes = new Map<string, number>()
  const changed = (collection: string) => changes.set(collection, (changes.get(collection) ?? 0) + 1)
  const stampOf = (collections: readonly string[]) =>
    collections.reduce((sum, collection) => sum + (changes.get(collection) ?? 0), 0)
  const stopHearing = onChange(changed)
  const stopWatching = onBusChange(() => kept.clear())

  /** Keeps an answer with its size once it is there; its age counts from the question. */
  const settle = async (key: string, { answer: asked, stamp }: Omit<Kept, 'bytes'>) => {
    try {
      const now = withText(await asked)
      const left = kept.getRemainingTTL(key)
      if (kept.peek(key)?.answer !== asked || left <= 0) return
      kept.set(key, { answer: asked, now, stamp, bytes: smallBytes + (now.body?.length ?? 0) }, { ttl: left })
    } catch {
      if (kept.peek(key)?.answer === asked) kept.delete(key)
    }
  }

  const keyOf = ({ caller, url }: FastifyRequest) => `${rightsOf(caller)}\n${url}`
  const find = (key: string, stamp: number) => {
    const found = kept.get(key)
    return found?.stamp === stamp ? found : undefined
  }

  const answer: Cache['answer'] = ({ action }, request, ask) => {
    const key = keyOf(request)
    const stamp = stampOf(cachedFrom(action))
    const found = find(key, stamp)
    // A refusal is each one's own: it names who was refused, and each is on record.
    if (found)
      return found.answer.catch((error: unknown) => {
        if (error instanceof ForbiddenError || error instanceof AuthenticationError) return ask().then(withEtag)
        throw error
      })
    const asked = ask().then(withEtag)
    kept.set(key, { answer: asked, stamp, bytes: smallBytes })
    void settle(key, { answer: asked, stamp })
    return asked
  }
  const drop: Cache['drop'] = ({ contract }) => {
    for (const action of Object.values(contract.actions))
      for (const collection of cachedFrom(action)) changed(collection)
  }
  return {
    keeps: ({ action, method }) => method === 'GET' && cachedFrom(action).length > 0,
    known: ({ action }, request) => find(keyOf(request), stampOf(cachedFrom(action)))?.now,
    answer,
    drop,
    stop: () => {
      stopWatching()
      stopHearing()
    },
  }
}

/** A list has no version; what it says is its tag. */
function withEtag(answer: Answer): Answer {
  if (answer.headers['etag'] !== undefined || answer.body === null) return answer
  return { ...answer, headers: { ...answer.headers, etag: `W/"${hash('sha1', answer.body, 'base64url')}"` } }
}

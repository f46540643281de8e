import { setTimeout as delay } from 'node:timers/promises'
import { ask, type Answered } from '../clients/http.ts'

/** One request as it went: how it was answered, or that the connection broke. */
export type Sent = {
  at: number
  ms: number
  line: string
  status: number
  headers: Record<string, string>
  body: Answered['body']
}

/** A change that was asked for, and whether it was ever acknowledged. */
export type Wish = {
  kind: 'pool' | 'pool-without-key' | 'volume' | 'user'
  name: string
  acknowledged: boolean
  operation?: string
  /** The outcome of the second change: every second pool is deleted again, every second user is renamed. */
  changed?: 'deleted' | 'renamed' | 'unknown'
}

export type Load = {
  sent: Sent[]
  wishes: Wish[]
  /** Sends nothing more; settles when all that was sent has been answered. */
  stop: () => Promise<void>
}

type Options = {
  /** Where requests go; a request whose connection breaks goes to the next one, if it may be repeated. */
  urls: string[]
  token: string
  perSecond: number
  /** Changes with a key are asked for again, after `Retry-After`, until they are acknowledged or this long has passed. */
  insistMs?: number
}

const GiB = 2 ** 30
/** The connection broke: the request may have been carried out or not. */
export const cut = 0
/** There was no connection: nothing was sent. */
const refused = -1
let counter = 0

const readOf = (number: number) =>
  [
    'GET /api/storage/pools/main',
    'GET /api/users',
    'GET /api/users/admin',
    'GET /api/storage/pools/main/volumes?limit=5',
  ][number % 4]!

/** Sends requests at an even pace and waits for no answer: three of five read, two change something. */
export function startLoad({ urls, token, perSecond, insistMs = 0 }: Options): Load {
  const sent: Sent[] = []
  const wishes: Wish[] = []
  const running = new Set<Promise<void>>()
  const stopped = new AbortController()

  const once = async (
    url: string,
    line: string,
    json?: unknown,
    headers: Record<string, string> = {},
  ): Promise<Sent> => {
    const at = performance.now()
    const answered = await ask(url, line, { token, json, headers }).catch((error: NodeJS.ErrnoException) => ({
      status: error.code === 'ECONNREFUSED' ? refused : cut,
      headers: {},
      body: {},
    }))
    const { status, headers: got, body } = answered
    return { at, ms: performance.now() - at, line, status, headers: got, body }
  }

  /** Sends as a load balancer does: after a broken connection a repeatable request goes to the next gateway. */
  const send = async (number: number, line: string, json?: unknown, headers: Record<string, string> = {}) => {
    const isRepeatable = /^(GET|DELETE|PATCH)/.test(line) || 'idempotency-key' in headers
    const mayGoOn = () => last.status === refused || (last.status === cut && isRepeatable)
    let last = await once(urls[number % urls.length]!, line, json, headers)
    const wasRepeated = last.status === cut
    for (let more = 1; mayGoOn() && more < urls.length; more++) {
      const { at } = last
      last = await once(urls[(number + more) % urls.length]!, line, json, headers)
      last = { ...last, at, ms: performance.now() - at }
    }
    // On a repeated DELETE, 404 means that the first try succeeded.
    if (wasRepeated && last.status === 404 && line.startsWith('DELETE')) last = { ...last, status: 204 }
    sent.push(last)
    return last
  }

  const change = async (number: number) => {
    const name = `w${counter}`
    const kind = (['pool', 'volume', 'user', 'pool-without-key'] as const)[counter++ % 4]!
    const wish: Wish = { kind, name, acknowledged: false }
    wishes.push(wish)
    const [line, json] = {
      pool: ['POST /api/storage/pools', { name, type: 'dir' }],
      'pool-without-key': ['POST /api/storage/pools', { name, type: 'dir' }],
      volume: ['POST /api/storage/pools/main/volumes', { name, size: GiB }],
      user: ['POST /api/users', { username: `user.${name}`, password: 'Sonnenblume-8' }],
    }[kind] as [string, object]
    const headers: Record<string, string> = kind === 'pool-without-key' ? {} : { 'idempotency-key': `key-${name}` }
    const deadline = performance.now() + insistMs
    for (;;) {
      const { status, headers: got, body } = await send(number, line, json, headers)
      wish.acknowledged = status >= 200 && status < 300
      if (wish.acknowledged && kind === 'volume') wish.operation = String(body['id'])
      if (wish.acknowledged && number % 2 === 0) await changeAgain(number, wish, String(body['id']))
      const mayInsist = kind !== 'pool-without-key' && performance.now() < deadline
      if (wish.acknowledged || !mayInsist || ![refused, cut, 409, 503].includes(status)) return
      await delay(Number(got['retry-after'] ?? 1) * 1000)
    }
  }

  const changeAgain = async (number: number, wish: Wish, id: string) => {
    if (wish.kind === 'volume') return
    wish.changed = 'unknown'
    const isUser = wish.kind === 'user'
    const line = isUser ? `PATCH /api/users/user.${wish.name}` : `DELETE /api/storage/pools/${id}`
    const { status } = await send(number, line, isUser ? { full_name: wish.name } : undefined)
    if (status < 300 && status >= 200) wish.changed = isUser ? 'renamed' : 'deleted'
  }

  const run = async () => {
    const begin = performance.now()
    for (let number = 0; !stopped.signal.aborted; number++) {
      const due = begin + (number * 1000) / perSecond
      await delay(Math.max(0, due - performance.now()), undefined, { signal: stopped.signal }).catch(() => undefined)
      if (stopped.signal.aborted) return
      const isRead = number % 5 < 3
      const work: Promise<void> = (
        isRead ? send(number, readOf(number)).then(() => undefined) : change(number)
      ).finally(() => running.delete(work))
      running.add(work)
    }
  }
  const pacing = run()
  return {
    sent,
    wishes,
    stop: async () => {
      stopped.abort()
      await pacing
      await Promise.all(running)
    },
  }
}

/** How often each answer came, for people: `200: 312, 503: 17`. */
export function countsOf(sent: Sent[]): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const { status } of sent) {
    const word = status <= cut ? 'cut' : String(status)
    counts[word] = (counts[word] ?? 0) + 1
  }
  return counts
}

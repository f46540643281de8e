import { setTimeout as sleep } from 'node:timers/promises'
import { CommandError } from '../errors.ts'
import { failureOf } from './failures.ts'
import { open, unreachable } from './request.ts'
import type { Target } from './target.ts'

/** A message of the event stream. */
export type StreamEvent = { seq: number; type: string; time: string; topic?: string; data: Record<string, unknown> }

type Wish = { topics?: string[]; from?: number; signal: AbortSignal }

const againAfterMs = 1000
/** The server sends a Ping every 30 s. */
const silenceMs = 45_000

/**
 * Follows the events (Server-Sent Events) until the signal aborts. A lost connection resumes after the last event that
 * was received, so none is lost. @throws CommandError if the first connection fails
 */
export async function* follow(target: Target, { topics, from, signal }: Wish): AsyncGenerator<StreamEvent> {
  let last = from
  let hasConnected = false
  while (!signal.aborted) {
    const query = new URLSearchParams()
    if (topics) query.set('topics', topics.join(','))
    if (last !== undefined) query.set('from', String(last))
    const path = `/events?${query}`
    try {
      const message = await open(target, {
        path,
        signal,
        timeoutMs: silenceMs,
        headers: { accept: 'text/event-stream' },
      })
      if (message.statusCode !== 200) {
        const chunks: Buffer[] = []
        for await (const chunk of message) chunks.push(chunk as Buffer)
        const body = JSON.parse(Buffer.concat(chunks).toString('utf8')) as object
        throw failureOf(message.statusCode ?? 0, body, { target, method: 'GET', path })
      }
      hasConnected = true
      for await (const event of eventsIn(message)) {
        if (event.seq) last = event.seq
        yield event
      }
    } catch (error) {
      if (signal.aborted) return
      if (error instanceof CommandError) throw error
      if (!hasConnected) throw unreachable(target, error)
    }
    await sleep(againAfterMs, undefined, { signal }).catch(() => undefined)
  }
}

/** The `data:` lines of a stream, as JSON. */
async function* eventsIn(stream: AsyncIterable<Buffer>): AsyncGenerator<StreamEvent> {
  const decoder = new TextDecoder()
  let text = ''
  for await (const chunk of stream) {
    text += decoder.decode(chunk, { stream: true })
    for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
      const block = text.slice(0, end)
      text = text.slice(end + 2)
      const data = block
        .split('\n')
        .filter((line) => line.startsWith('data:'))
        .map((line) => line.slice(5))
        .join('\n')
      if (data !== '') yield JSON.parse(data) as StreamEvent
    }
  }
}

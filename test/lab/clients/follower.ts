import { get } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import { WebSocket } from 'ws'
import type { Topic } from '#shared/contracts/core/events.ts'
import type { Envelope } from './sockets.ts'

/** The topics that a follower subscribes to. */
export const followedTopics: readonly Topic[] = ['vm:events', 'vm:status', 'operations']

/** Hears envelopes until the connection ends. */
type Connection = { ended: Promise<string>; cut: () => void }
type Open = (url: string, token: string, from: number, hear: (envelope: Envelope) => void) => Connection

const openWebSocket: Open = (url, token, from, hear) => {
  const socket = new WebSocket(`${url.replace('http', 'ws')}/api/ws`, { headers: { authorization: `Bearer ${token}` } })
  const { promise, resolve } = Promise.withResolvers<string>()
  socket.on('open', () => socket.send(JSON.stringify({ topics: followedTopics, from })))
  socket.on('message', (data) => hear(JSON.parse(String(data)) as Envelope))
  socket.on('error', (error) => resolve(error.message))
  socket.on('close', (code, reason) => resolve(`${code} ${String(reason)}`))
  return { ended: promise, cut: () => socket.terminate() }
}

const openServerSentEvents: Open = (url, token, from, hear) => {
  const { promise, resolve } = Promise.withResolvers<string>()
  const headers = { authorization: `Bearer ${token}`, 'last-event-id': String(from) }
  const request = get(`${url}/api/events?topics=${followedTopics.join()}`, { headers, agent: false }, (answer) => {
    let text = ''
    answer.setEncoding('utf8')
    answer.on('data', (part: string) => {
      const pieces = (text + part).split('\n\n')
      // Whatever has no end yet may be half an event.
      text = pieces.pop()!
      if (answer.statusCode !== 200) return
      for (const piece of pieces) {
        const json = /^data: (.*)$/m.exec(piece)?.[1]
        if (json !== undefined) hear(JSON.parse(json) as Envelope)
      }
    })
    answer.on('error', (error) => resolve(error.message))
    answer.on('close', () => resolve(`the answer ${answer.statusCode} ended`))
  })
  request.on('error', (error) => resolve(error.message))
  return { ended: promise, cut: () => request.destroy() }
}

/** A client as anybody would write one: after a cut it goes on where it was. */
export type Follower = {
  name: string
  /** Every event that it was given, in the order it came. */
  seen: Envelope[]
  resyncs: Envelope[]
  /** The reasons for which its connections ended. */
  endings: string[]
  /** The same with the places where each began and ended, to know why when something is missing. */
  connections: { begin: string; url: string; from: number; to: number; ending: string }[]
  cut: () => void
  stop: () => Promise<void>
}

const own = new Set(['Ping', 'Subscribed', 'Error', 'Resync'])

export function follow(
  name: string,
  medium: 'ws' | 'sse',
  { url, token, from }: { url: string; token: string; from: number },
): Follower {
  const follower: Pick<Follower, 'name' | 'seen' | 'resyncs' | 'endings' | 'connections'> = {
    name,
    seen: [],
    resyncs: [],
    endings: [],
    connections: [],
  }
  const open = medium === 'ws' ? openWebSocket : openServerSentEvents
  let at = from
  let isOver = false
  let connection: Connection | undefined
  const hear = (envelope: Envelope) => {
    const { type, seq } = envelope
    if (type === 'Error') return connection?.cut()
    if (type === 'Resync') follower.resyncs.push(envelope)
    if (!own.has(type)) follower.seen.push(envelope)
    if (!own.has(type) || type === 'Resync') at = seq
  }
  const run = async () => {
    while (!isOver) {
      let isMine = true
      // Events that a given-up connection still delivers come again over the next one.
      const [begin, first] = [new Date().toISOString(), at]
      connection = open(url, token, at, (envelope) => isMine && hear(envelope))
      const ending = await connection.ended
      isMine = false
      follower.endings.push(ending)
      follower.connections.push({ begin, url, from: first, to: at, ending })
      await delay(50)
    }
  }
  const running = run()
  return {
    ...follower,
    cut: () => connection?.cut(),
    stop: () => {
      isOver = true
      connection?.cut()
      return running
    },
  }
}

import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { FastifyInstance } from 'fastify'
import { AppError, BadRequestError } from '#shared/errors.ts'
import { log } from '#shared/runtime/log.ts'
import { plainAddress } from '../rest/request-id.ts'
import { endedAs } from './attach.ts'
import { codes } from '../sessions/closing.ts'
import type { ConsoleSession, ConsoleSessions } from './console-sessions.ts'
import { openDisplay } from './display.ts'

/** A SPICE session has a connection for each of its channels, all with the ticket that the first one used up. */
type Spice = { session: ConsoleSession; address: string; channels: Set<Duplex> }

const aliveAfterMs = 30_000

/**
 * remote-viewer reaches SPICE through `proxy=` of its .vv file: `CONNECT <ticket>:<port>` (RFC 9110 section 9.3.6) at the
 * gateway's own port, so that no other port is opened and nothing but the ticket's display is reached.
 */
export function addSpiceProxy(app: FastifyInstance, sessions: ConsoleSessions): void {
  const open = new Map<string, Promise<Spice>>()

  const begin = async (ticket: string, address: string): Promise<Spice> => {
    const session = await sessions.open({ ticket, vmId: null, address, user: null })
    if (session.opened.console_type !== 'spice') {
      session.end({ code: codes.gone, reason: 'The ticket is not for SPICE' })
      throw new BadRequestError('Only SPICE goes through CONNECT; VNC and the serial console take a WebSocket')
    }
    const channels = new Set<Duplex>()
    session.onEnd(() => {
      open.delete(ticket)
      for (const channel of channels) channel.destroy()
    })
    return { session, address, channels }
  }
  const spiceOf = (ticket: string, address: string): Promise<Spice> => {
    const known = open.get(ticket)
    if (known) return known
    const begun = begin(ticket, address)
    open.set(ticket, begun)
    begun.catch(() => open.delete(ticket))
    return begun
  }

  const join = async ({ url = '', socket }: IncomingMessage, client: Duplex, head: Buffer): Promise<void> => {
    const ticket = /^([0-9a-f-]{36}\.[0-9a-f]+):\d+$/i.exec(url)?.[1]?.toLowerCase()
    if (!ticket) throw new BadRequestError('CONNECT is for the tickets of SPICE consoles only')
    const address = plainAddress(socket.remoteAddress ?? '')
    const { session, address: first, channels } = await spiceOf(ticket, address)
    if (first !== address) throw new BadRequestError('The ticket is in use at another address')
    const { endpoint, node } = session.opened
    if (endpoint.kind !== 'display') throw new BadRequestError('The ticket is not for SPICE')
    // A viewer that has gone without a word would keep its session open for ever.
    socket.setKeepAlive(true, aliveAfterMs)
    const display = await openDisplay(node, endpoint.socket).catch((error: unknown) => {
      if (channels.size === 0) session.end(endedAs(error as Error))
      throw error
    })
    display.on('error', () => undefined)
    channels.add(client).add(display)
    if (!session.isOpen()) client.destroy()
    client.write('HTTP/1.1 200 Connection established\r\n\r\n')
    if (head.length > 0) display.write(head)
    const ended = await Promise.allSettled([pipeline(client, display), pipeline(display, client)])
    channels.delete(client)
    channels.delete(display)
    client.destroy()
    display.destroy()
    if (channels.size > 0) return
    const failed = ended.find((one) => one.status === 'rejected')
    session.end(
      failed?.reason instanceof AppError ? endedAs(failed.reason) : { code: 1000, reason: 'The viewer has closed it' },
    )
  }

  app.server.on('connect', (request: IncomingMessage, client: Duplex, head: Buffer) => {
    client.on('error', () => undefined)
    sessions
      .inContext(() => join(request, client, head))
      .catch((error: Error) => {
        if (!(error instanceof AppError)) log('gateway').error({ err: error }, 'a bug: unexpected error in CONNECT')
        const { status, message } = error instanceof AppError ? error : { status: 500, message: 'Internal error' }
        client.end(`HTTP/1.1 ${status} Refused\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n${message}\n`)
      })
  })
}

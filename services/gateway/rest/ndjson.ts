import { Readable } from 'node:stream'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { ServiceBroker } from 'moleculer'
import { question } from '#shared/bus/call.ts'
import { propertiesOf } from '#shared/contract/branches.ts'
import type { Action } from '#shared/contract/contract.ts'
import { log } from '#shared/runtime/log.ts'
import type { Route } from './ask-service.ts'

const ndjson = 'application/x-ndjson'
const itemsAtOnce = 200

type Page = { data: unknown[]; next_cursor: string | null }

/** True if an action answers a page of a list. */
export const isList = ({ params, result }: Action) =>
  'cursor' in propertiesOf(params) && 'next_cursor' in propertiesOf(result)

export const wantsStream = ({ headers }: FastifyRequest) => headers.accept?.includes(ndjson) ?? false

/**
 * Streams a list, one item a line, page after page as fast as the client reads. A given `limit` is how many items there
 * are at most; without one it is the whole list. When it breaks off, so does the connection: a stream that ends is whole.
 */
export async function streamList(
  broker: ServiceBroker,
  route: Route,
  params: Record<string, unknown>,
  request: FastifyRequest,
  reply: FastifyReply,
  identifyAgain: () => Promise<void>,
): Promise<FastifyReply> {
  const { id: requestId } = request
  const whole = params['limit'] === undefined
  const pageFrom = async (cursor: string | null): Promise<Page> => {
    const { offset, ...rest } = params
    const asked = cursor === null ? params : { ...rest, cursor }
    const sent = whole ? { ...asked, limit: itemsAtOnce } : asked
    // `isList` has looked at the contract's result.
    return (await question(broker, route.name, sent, { caller: request.caller, requestId })) as Page
  }
  const first = await pageFrom(null)
  async function* lines() {
    let page = first
    for (;;) {
      if (page.data.length > 0) yield `${page.data.map((item) => JSON.stringify(item)).join('\n')}\n`
      if (!whole || page.next_cursor === null) return
      // The credential is checked again before each page: a slow client must not read longer than it may.
      await identifyAgain()
      page = await pageFrom(page.next_cursor)
    }
  }
  const body = Readable.from(lines(), { objectMode: false })
  body.on('error', (error) => {
    log('gateway').warn({ err: error, request_id: requestId }, 'a streamed list broke off')
    reply.raw.destroy()
  })
  return reply.type(ndjson).send(body)
}

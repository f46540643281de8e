import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

type Received = { headers: Record<string, string>; body: string }

/** A receiver of webhooks: it remembers every request, and answers as it is told. */
export type WebhookReceiver = {
  url: string
  received: Received[]
  /** The next answers; afterwards 204. `hang`: none. */
  answers: (number | 'hang')[]
  stop: () => Promise<void>
}

export async function startWebhookReceiver(): Promise<WebhookReceiver> {
  const received: Received[] = []
  const answers: (number | 'hang')[] = []
  const server = createServer(async (request, response) => {
    let body = ''
    for await (const chunk of request) body += String(chunk)
    received.push({ headers: request.headers as Record<string, string>, body })
    const answer = answers.shift() ?? 204
    if (answer !== 'hang') response.writeHead(answer, answer === 429 ? { 'retry-after': '1' } : {}).end()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  // A server that listens on a port has an address of this kind.
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}/hook`,
    received,
    answers,
    stop: async () => {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

import { type Agent, request } from 'node:http'
import { gunzipSync } from 'node:zlib'

export type Answered = {
  status: number
  headers: Record<string, string>
  /** The body, read as JSON when it is. */
  body: Record<string, unknown>
  text: string
}

type Asked = {
  token?: string
  json?: unknown
  headers?: Record<string, string>
  raw?: string
  /** Whose connections are used again; without it each request has its own. */
  agent?: Agent
  /** The address that it comes from; any of 127.0.0.0/8 will do. */
  localAddress?: string
}

/** Sends one request with the test's headers and body only. */
export const ask = async (
  url: string,
  line: string,
  { token, json, headers = {}, raw, agent, localAddress }: Asked = {},
): Promise<Answered> => {
  const [method = 'GET', path = '/'] = line.split(' ')
  const sent = raw ?? (json === undefined ? undefined : JSON.stringify(json))
  const { promise, resolve, reject } = Promise.withResolvers<Answered>()
  const client = request(
    new URL(path, url),
    {
      method,
      agent: agent ?? false,
      ...(localAddress !== undefined && { localAddress }),
      headers: {
        // For a DELETE Node would say nothing of a body.
        ...(sent !== undefined && { 'content-type': 'application/json', 'content-length': Buffer.byteLength(sent) }),
        ...(token !== undefined && { authorization: `Bearer ${token}` }),
        ...headers,
      },
    },
    (answer) => {
      const parts: Buffer[] = []
      answer.on('data', (part: Buffer) => parts.push(part))
      answer.on('error', reject)
      answer.on('end', () => {
        const sentBytes = Buffer.concat(parts)
        const isPacked = answer.headers['content-encoding'] === 'gzip'
        const text = (isPacked ? gunzipSync(sentBytes) : sentBytes).toString('utf8')
        const isJson = /\bjson\b/.test(answer.headers['content-type'] ?? '') && text !== ''
        resolve({
          status: answer.statusCode ?? 0,
          // Names that may come more than once are not looked at here, but for set-cookie.
          headers: Object.fromEntries(Object.entries(answer.headers).map(([key, value]) => [key, String(value)])),
          body: isJson ? (JSON.parse(text) as Record<string, unknown>) : {},
          text,
        })
      })
    },
  )
  client.on('error', reject)
  client.end(sent)
  return promise
}

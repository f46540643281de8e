import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { config } from '#shared/config/config.ts'
import { contentTypes, endOf, familyText, type Format, formatFor } from '#shared/runtime/exposition.ts'
import { log } from '#shared/runtime/log.ts'
import { ownFamilies } from '#shared/runtime/measures.ts'
import { measureProcess } from '#shared/runtime/process-measures.ts'

type Page = (format: Format) => string
const pages = new Set<Page>()

/** Adds text to the page of this process, such as that of all guests. @returns removes it */
export function addToPage(page: Page): () => void {
  pages.add(page)
  return () => void pages.delete(page)
}

/** The whole page. */
export function pageText(format: Format): string {
  const own = ownFamilies().map((family) => familyText(family, format))
  return [...own, ...[...pages].map((page) => page(format)), endOf(format)].join('')
}

function answer({ method, url, headers }: IncomingMessage, response: ServerResponse): void {
  if (url?.split('?')[0] !== '/metrics') return void response.writeHead(404).end('There is only /metrics here\n')
  if (method !== 'GET' && method !== 'HEAD') return void response.writeHead(405, { allow: 'GET, HEAD' }).end()
  const format = formatFor(headers.accept)
  const body = pageText(format)
  response.writeHead(200, { 'content-type': contentTypes[format], 'content-length': Buffer.byteLength(body) })
  response.end(method === 'HEAD' ? undefined : body)
}

const againMs = 30_000
let isMeasuring = false

/**
 * Serves `GET /metrics` on a listener of its own, for Prometheus. A port that another process has is tried again later:
 * on one machine the processes of Horcrux need ports of their own.
 * @returns a function that stops it
 */
export function serveMetrics(): () => void {
  const { metricsPort: port, metricsHost: host } = config()
  if (port === 0) return () => undefined
  if (!isMeasuring) measureProcess()
  isMeasuring = true
  let isStopped = false
  let timer: NodeJS.Timeout | undefined
  let server: Server | undefined
  const listen = () => {
    server = createServer({ requestTimeout: 10_000 }, answer)
    server.on('error', (error) => {
      log('metrics').info({ err: error, host, port }, 'the page of the metrics is not served; trying again later')
      if (!isStopped) timer = setTimeout(listen, againMs).unref()
    })
    server.listen(port, host, () => log('metrics').debug({ host, port }, 'serving the page of the metrics'))
  }
  listen()
  return () => {
    isStopped = true
    clearTimeout(timer)
    server?.closeAllConnections()
    server?.close()
  }
}

import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import type { FastifyInstance } from 'fastify'
import { config } from '#shared/config/config.ts'
import type { Contract } from '#shared/contract/contract.ts'
import { addForBrowsers } from './content-security-policy.ts'
import { landingPage, landingStyle } from './landing.ts'
import { addPageFiles, isPageBuilt } from './page-files.ts'
import { openApi } from '../openapi/openapi.ts'

const { version } = JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8')) as {
  version: string
}

/** Serves pages for browsers: the API's description and its page, and the web page, or in a checkout without it a hint. */
export async function addPages(app: FastifyInstance, contracts: readonly Contract[]): Promise<void> {
  const document = openApi(contracts, version)
  const text = JSON.stringify(document)
  app.get('/api/openapi.json', (_, reply) => {
    void reply.type('application/json; charset=utf-8')
    reply.compress(text)
    return reply
  })

  const styleHash = `'sha256-${createHash('sha256').update(landingStyle).digest('base64')}'`
  const sources = {
    defaultSrc: ["'self'"],
    styleSrc: ["'self'", styleHash],
    imgSrc: ["'self'", 'data:'],
    objectSrc: ["'none'"],
    baseUri: ["'self'"],
  }
  await addForBrowsers(app, sources, async (pages) => {
    // The plugin's types know documents of OpenAPI 3 as their own kind; it passes them through.
    await pages.register(swagger, { mode: 'static', specification: { document: document as never } })
    await pages.register(swaggerUi, {
      routePrefix: '/api/docs',
      theme: {
        title: 'Horcrux API',
        css: [{ filename: 'horcrux.css', content: '.swagger-ui .topbar { display: none }' }],
      },
    })
    if (isPageBuilt()) return
    const { tls } = config()
    pages.get('/', ({ protocol, host }, reply) => {
      const page = landingPage(version, `${protocol}://${host}`, tls === 'self-signed')
      return reply.type('text/html; charset=utf-8').send(page)
    })
  })
  if (isPageBuilt()) await addPageFiles(app)
}

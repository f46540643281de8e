import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import helmet from '@fastify/helmet'
import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import type { FastifyInstance } from 'fastify'
import { config } from '#shared/config.ts'
import type { Contract } from '#shared/contract.ts'
import { landingPage, landingStyle } from './landing.ts'
import { openApi } from './openapi.ts'
import { apiHeaders } from './security-headers.ts'

const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
  version: string
}

/** What is read with a browser: the API's description and its page, and the page at `/`. */
export async function addPages(app: FastifyInstance, contracts: readonly Contract[]): Promise<void> {
  const document = openApi(contracts, version)
  const text = JSON.stringify(document)
  app.get('/api/openapi.json', (_, reply) => reply.type('application/json; charset=utf-8').send(text))

  const styleHash = `'sha256-${createHash('sha256').update(landingStyle).digest('base64')}'`
  await app.register(async (pages) => {
    pages.addHook('onRequest', (_, reply, done) => {
      for (const name of Object.keys(apiHeaders)) void reply.removeHeader(name)
      done()
    })
    await pages.register(helmet, {
      // A browser that has once seen it insists on a certificate that it trusts.
      strictTransportSecurity: config().tls === 'files',
      contentSecurityPolicy: {
        useDefaults: false,
        directives: {
          defaultSrc: ["'self'"],
          scriptSrc: ["'self'"],
          styleSrc: ["'self'", styleHash],
          imgSrc: ["'self'", 'data:'],
          objectSrc: ["'none'"],
          baseUri: ["'self'"],
          formAction: ["'self'"],
          frameAncestors: ["'none'"],
        },
      },
    })
    // The plugin's types know documents of OpenAPI 3 as their own kind; it passes them through.
    await pages.register(swagger, { mode: 'static', specification: { document: document as never } })
    await pages.register(swaggerUi, {
      routePrefix: '/api/docs',
      theme: {
        title: 'Horcrux API',
        css: [{ filename: 'horcrux.css', content: '.swagger-ui .topbar { display: none }' }],
      },
    })
    pages.get('/', ({ protocol, host }, reply) =>
      reply.type('text/html; charset=utf-8').send(landingPage(version, `${protocol}://${host}`)),
    )
  })
}

import helmet from '@fastify/helmet'
import type { FastifyInstance } from 'fastify'
import { config } from '#shared/config/config.ts'
import { apiHeaders } from './security-headers.ts'

/** Allowed sources by CSP directive (Content Security Policy level 3); `frame-ancestors` is always `'none'`. */
type Sources = Record<string, string[]>

/** Serves pages to browsers: with helmet's headers and this content security policy in the place of the API's. */
export async function addForBrowsers(
  app: FastifyInstance,
  sources: Sources,
  add: (pages: FastifyInstance) => Promise<void>,
): Promise<void> {
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
        directives: { scriptSrc: ["'self'"], formAction: ["'self'"], frameAncestors: ["'none'"], ...sources },
      },
    })
    await add(pages)
  })
}

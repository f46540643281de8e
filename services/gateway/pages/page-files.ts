import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import files from '@fastify/static'
import type { FastifyInstance } from 'fastify'
import { addForBrowsers } from './content-security-policy.ts'
import { apiHeaders } from './security-headers.ts'

/** The built web page; `web/build.ts` writes it. */
const folder = fileURLToPath(new URL('../../../dist/web/', import.meta.url))

export const isPageBuilt = () => existsSync(join(folder, 'index.html'))

/** The page loads nothing from elsewhere, and has no script or style of its own in the document. */
const sources = {
  defaultSrc: ["'none'"],
  styleSrc: ["'self'"],
  imgSrc: ["'self'", 'data:'],
  connectSrc: ["'self'"],
  // The console, in a frame of its own.
  frameSrc: ["'self'"],
  baseUri: ["'none'"],
}

const consoleSources = {
  defaultSrc: ["'none'"],
  // xterm.js writes its colours into a <style> of its own.
  styleSrc: ["'self'", "'unsafe-inline'"],
  // noVNC draws the cursor and the icon from data: and blob: images.
  imgSrc: ["'self'", 'data:', 'blob:'],
  connectSrc: ["'self'"],
  baseUri: ["'none'"],
  frameAncestors: ["'self'"],
}

const noCache = { cacheControl: false }
/** Paths that are not screens of the page. */
const isElsewhere = (path: string) => /^\/(api|assets|console|healthz|readyz|metrics)(\/|$)/.test(path)

/** The web page: files with a hash in their name are kept by browsers for ever, the documents are asked for each time. */
export async function addPageFiles(app: FastifyInstance): Promise<void> {
  await addForBrowsers(app, sources, async (pages) => {
    await pages.register(files, {
      root: join(folder, 'assets'),
      prefix: '/assets/',
      preCompressed: true,
      immutable: true,
      maxAge: '1y',
    })
    await pages.register(files, { root: folder, serve: false, decorateReply: false })
    for (const name of ['icon.svg', 'theme.js'])
      pages.get(`/${name}`, (_, reply) => reply.sendFile(name, folder, noCache))
    pages.get('/', (_, reply) => reply.header('cache-control', 'no-cache').sendFile('index.html', folder, noCache))
    // A screen's address, opened directly, is the page; for programs it is no route.
    pages.get('/*', (request, reply) => {
      const path = request.url.split('?')[0]!
      if (!isElsewhere(path) && request.headers.accept?.includes('text/html'))
        return reply.header('cache-control', 'no-cache').sendFile('index.html', folder, noCache)
      return reply.headers(apiHeaders).callNotFound()
    })
  })
  await addForBrowsers(app, consoleSources, async (pages) => {
    await pages.register(files, { root: join(folder, 'console'), serve: false, preCompressed: true })
    // The router takes no notice of a slash at the end.
    pages.get('/console/', (_, reply) => reply.header('cache-control', 'no-cache').sendFile('index.html', noCache))
  })
}

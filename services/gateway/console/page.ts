import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import files from '@fastify/static'
import type { FastifyInstance } from 'fastify'
import { addForBrowsers } from '../pages/content-security-policy.ts'

const packageOf = (main: string) => dirname(dirname(fileURLToPath(main)))
const own = fileURLToPath(new URL('../../../web/console/', import.meta.url))

/** Under /console/: the page itself and the libraries that it loads, as they come in their packages. */
const folders = [
  { prefix: '/console/', root: own },
  { prefix: '/console/novnc/', root: packageOf(import.meta.resolve('@novnc/novnc')) },
  { prefix: '/console/xterm/', root: packageOf(import.meta.resolve('@xterm/xterm')) },
  { prefix: '/console/fit/', root: packageOf(import.meta.resolve('@xterm/addon-fit')) },
]

const sources = {
  defaultSrc: ["'none'"],
  // xterm.js writes its colours into a <style> of its own.
  styleSrc: ["'self'", "'unsafe-inline'"],
  // noVNC draws the cursor and the icon from data: and blob: images.
  imgSrc: ["'self'", 'data:', 'blob:'],
  fontSrc: ["'self'"],
  connectSrc: ["'self'"],
  baseUri: ["'none'"],
}

/** `/console/?vm=ID&type=vnc|serial`: a page with noVNC and xterm.js. */
export async function addConsolePage(app: FastifyInstance): Promise<void> {
  await addForBrowsers(app, sources, async (pages) => {
    for (const [index, folder] of folders.entries())
      await pages.register(files, { ...folder, decorateReply: index === 0, cacheControl: false })
    // The router takes no notice of a slash at the end, and so does not find the folder itself.
    pages.get('/console/', (_, reply) => reply.sendFile('index.html', own))
  })
}

import Fastify from 'fastify'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { addConsolePage } from '../../../services/gateway/console/page.ts'

// As the gateway's own router.
const app = Fastify({ routerOptions: { ignoreTrailingSlash: true } })
beforeAll(() => addConsolePage(app))
afterAll(() => app.close())

test.each(['/console', '/console/', '/console/?vm=web&type=serial'])('%s is the page', async (url) => {
  const { statusCode, headers, body } = await app.inject(url)
  expect({ statusCode, type: headers['content-type'] }).toEqual({ statusCode: 200, type: 'text/html; charset=utf-8' })
  expect(headers['content-security-policy']).toContain("script-src 'self';")
  expect(body).not.toMatch(/<script(?![^>]*\bsrc=)|\bon\w+=/)
})

test('every file that the page and its scripts load exists', async () => {
  const left = ['/console/']
  const seen = new Set<string>()
  for (const url of left) {
    if (seen.has(url)) continue
    seen.add(url)
    const { statusCode, body } = await app.inject(url)
    expect(statusCode, url).toBe(200)
    const named = url.endsWith('.js')
      ? body.matchAll(/^(?:import|export) [^;'"]*?from ['"](\.[^'"]+)['"]/gm)
      : body.matchAll(/(?:src|href)="(\/[^"]+)"/g)
    for (const [, path] of named) left.push(new URL(path!, `http://gateway${url}`).pathname)
  }
  expect([...seen]).toContain('/console/xterm/lib/xterm.mjs')
  expect([...seen]).toContain('/console/novnc/vendor/pako/lib/zlib/inflate.js')
  expect(seen.size).toBeGreaterThan(40)
})

test.each(['/console/../package.json', '/console/%2e%2e/%2e%2e/package.json', '/console/novnc/..%2f..%2fpackage.json'])(
  '%s leads out of the folders, and to nothing',
  async (url) => {
    expect((await app.inject(url)).statusCode).toBeGreaterThanOrEqual(400)
  },
)

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import Fastify from 'fastify'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { ensurePage } from '../../../bin/page.ts'
import { addPageFiles } from '../../../services/gateway/pages/page-files.ts'
import { repository } from '../../lab/repository.ts'

// As the gateway's own router.
const app = Fastify({ routerOptions: { ignoreTrailingSlash: true } })
const page = { accept: 'text/html,*/*' }
const built = join(repository, 'dist/web')

beforeAll(async () => {
  await ensurePage()
  await addPageFiles(app)
}, 120_000)
afterAll(() => app.close())

test.each(['/', '/vms', '/vms/web-1/console?type=serial', '/console', '/console/?vm=web&type=serial'])(
  '%s is a document without scripts of its own',
  async (url) => {
    const { statusCode, headers, body } = await app.inject({ url, headers: page })
    expect({ statusCode, type: headers['content-type'] }).toEqual({ statusCode: 200, type: 'text/html; charset=utf-8' })
    expect(headers['content-security-policy']).toContain("script-src 'self';")
    expect(headers['cache-control']).toBe('no-cache')
    expect(body).not.toMatch(/<script(?![^>]*\bsrc=)|\bon\w+=|<style/)
  },
)

test('no style or script of its own is allowed outside the console', async () => {
  const policyOf = async (url: string) => (await app.inject({ url, headers: page })).headers['content-security-policy']
  expect(await policyOf('/vms')).not.toContain('unsafe')
  expect(await policyOf('/vms')).toContain("frame-ancestors 'none'")
  expect(await policyOf('/console/')).toContain("frame-ancestors 'self'")
})

test('what a program asks for by a wrong address is not found', async () => {
  expect((await app.inject('/vms')).statusCode).toBe(404)
  for (const url of ['/api/nothing', '/assets/nothing.js', '/healthz'])
    expect((await app.inject({ url, headers: page })).statusCode, url).toBe(404)
})

test('files have a hash in their name, are kept for ever, and are sent compressed', async () => {
  const { body } = await app.inject({ url: '/', headers: page })
  const [script] = /\/assets\/[\w-]+\.js/.exec(body) ?? []
  const { headers } = await app.inject({ url: script!, headers: { 'accept-encoding': 'br' } })
  expect(headers).toMatchObject({ 'content-encoding': 'br', 'cache-control': 'public, max-age=31536000, immutable' })
})

test('every file that the documents name exists', async () => {
  for (const document of ['/', '/console/']) {
    const { body } = await app.inject({ url: document, headers: page })
    for (const [, path] of body.matchAll(/(?:src|href)="(\/[^"]+)"/g))
      expect((await app.inject(path!)).statusCode, path).toBe(200)
  }
})

test.each(['/assets/../../package.json', '/assets/%2e%2e/%2e%2e/package.json', '/console/..%2f..%2fpackage.json'])(
  '%s leads out of the folder, and to nothing',
  async (url) => {
    expect((await app.inject(url)).statusCode).toBeGreaterThanOrEqual(400)
  },
)

const gzipKib = (path: string) => gzipSync(readFileSync(join(built, path)), { level: 9 }).length / 1024
const assets = () => readdirSync(join(built, 'assets')).filter((name) => /\.(js|css)$/.test(name))
const named = (document: string) =>
  [...readFileSync(join(built, document), 'utf8').matchAll(/(?:src|href)="\/([^"]+\.(?:js|css))"/g)].map(
    ([, path]) => path!,
  )

test('the first load stays within its budget of bytes and requests', () => {
  const first = named('index.html')
  const total = first.reduce((sum, path) => sum + gzipKib(path), 0)
  expect(total).toBeLessThanOrEqual(40)
  // With the document and the icon, and before the question for the session.
  expect(first.length).toBeLessThanOrEqual(6)
})

test('parts that are loaded on demand stay within their budgets', () => {
  const budgets: [RegExp, number][] = [
    [/^screen-.*\.js$/, 56],
    [/^terminal-.*\.js$/, 82],
    [/^uPlot.*\.js$/i, 22],
  ]
  const limit = (name: string) => budgets.find(([pattern]) => pattern.test(name))?.[1] ?? 40
  const over = assets().filter((name) => gzipKib(`assets/${name}`) > limit(name))
  expect(over).toEqual([])
  expect(assets().reduce((sum, name) => sum + gzipKib(`assets/${name}`), 0)).toBeLessThanOrEqual(350)
})

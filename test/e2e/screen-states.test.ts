import { readFileSync } from 'node:fs'
import type { Browser, BrowserContext, Page, Route } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { complaintsOf, signInOn, startBrowser, violationsOf } from '../lab/clients/browser.ts'
import { sample, seedOf } from '../lab/faults/seed.ts'
import { type Product, startProduct } from '../lab/product/product.ts'
import { available } from '../lab/requirements.ts'
import { until } from '../lab/wait.ts'

const missing = (await localHost().which('chromium')) ? [] : ['chromium']
const canRun = available('chromium', missing)
const password = 'Sonnenblume-7'
const longMs = 60_000

/** All paths of the router, with the ids of things that are there. */
const source = readFileSync(new URL('../../web/shell/shell.tsx', import.meta.url), 'utf8')
const ids: Record<string, string> = {
  '/vms/:id/:tab?': '/vms/one',
  '/containers/:id/:tab?': '/containers/none',
  '/storage/:id': '/storage/disks',
  '/nodes/:id': '/nodes/local',
  '/alerts/:tab?': '/alerts',
}
const paths = [...source.matchAll(/^ {2}\['(\/[^']*)', \w+\],$/gm)].map(([, path]) => ids[path!] ?? path!)

/** Screens that show something without any answer of the server: forms, and the own account. */
const needNothing = new Set(['/vms/new', '/account', '/device'])

const refused = (status: number, error: string) => (route: Route) =>
  route.fulfill({ status, json: { error, message: `The answer of a test: ${error}`, status } })

type State = { name: string; answer?: (route: Route) => unknown; shows: string }
/** `answer`: of each request for data; the session and the event stream stay. */
const states: State[] = [
  { name: 'empty', shows: 'h1' },
  { name: 'loading', answer: () => undefined, shows: '.skeleton' },
  { name: 'error', answer: refused(500, 'INTERNAL_ERROR'), shows: '.problem' },
  { name: 'forbidden', answer: refused(403, 'FORBIDDEN'), shows: '.problem.forbidden' },
  { name: 'offline', answer: (route) => route.abort('internetdisconnected'), shows: '.problem' },
]
const cases = sample(
  paths.flatMap((path) => states.map((state) => ({ path, state, title: `${path} ${state.name}` }))),
  seedOf('states of screens'),
  10,
)

describe.runIf(canRun)('states of the screens', () => {
  let product: Product
  let browser: Browser
  let context: BrowserContext

  beforeAll(async () => {
    const starting = startBrowser()
    product = await startProduct([])
    browser = await starting
    context = await browser.newContext({ viewport: { width: 1280, height: 800 } })
    const page = await context.newPage()
    await page.goto(product.url)
    await signInOn(page, 'admin', password)
    await page.close()
  }, 120_000)
  afterAll(async () => {
    await browser?.close()
    await product?.stop()
  })

  async function opened({ path, state: { answer } }: (typeof cases)[number]): Promise<Page> {
    const page = await context.newPage()
    page.setDefaultTimeout(longMs)
    if (answer) await page.route(/\/api\/(?!auth\/|ws|events)/, answer)
    await page.goto(product.url + path)
    return page
  }

  test('the router has the paths of this test', () => {
    expect(paths.length).toBeGreaterThan(25)
    expect(paths.filter((path) => path.includes(':'))).toEqual([])
  })

  test.each(cases)('$title: told, without a violation in both themes, and not wider than a phone', async (one) => {
    const page = await opened(one)
    const complaints = complaintsOf(page)
    try {
      const { name, shows } = one.state
      await page
        .locator(needNothing.has(one.path) ? 'main h1' : `main ${shows}`)
        .first()
        .waitFor()
      if (name !== 'loading')
        await until(async () => (await page.locator('main .skeleton').count()) === 0, { what: 'the end of loading' })
      for (const theme of ['light', 'dark'] as const) expect(await violationsOf(page, theme)).toEqual([])
      await page.setViewportSize({ width: 360, height: 740 })
      const over = await page.evaluate('document.documentElement.scrollWidth - innerWidth')
      expect(over).toBeLessThanOrEqual(0)
      const own = /Failed to load resource|status of (403|404|500)/
      expect(complaints.filter((text) => !own.test(text))).toEqual([])
    } finally {
      if (process.env['SCREENSHOTS']) {
        const file = `${process.env['SCREENSHOTS']}/${one.title.replaceAll(/\W+/g, '-')}`
        await page.screenshot({ path: `${file}-phone.png` })
        await page.setViewportSize({ width: 1280, height: 800 })
        await page.screenshot({ path: `${file}.png` })
      }
      await page.close()
    }
  })
})

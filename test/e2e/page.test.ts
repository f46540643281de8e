import { join } from 'node:path'
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, expect, inject, test } from 'vitest'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { complaintsOf, signInOn, startBrowser, violationsOf } from '../lab/clients/browser.ts'
import { guestOn } from '../lab/guests/tiny-guest.ts'
import { labHosts } from '../lab/hosts/lab.ts'
import { type Product, startProduct } from '../lab/product/product.ts'
import { available } from '../lab/requirements.ts'
import { until } from '../lab/wait.ts'

const { dir } = inject('run')
const [host] = labHosts
const missing = (await localHost().which('chromium')) ? [] : ['chromium']
const canRun = host !== undefined && available('chromium', missing)
const password = 'Sonnenblume-7'
const wait = { headers: { prefer: 'wait=60' } }
const longMs = 120_000
/** Names are fresh for each try of a test. */
let tries = 0

let product: Product
let browser: Browser
let page: Page
let complaints: string[]
let boot: { kernel: string; initrd: string; cmdline?: string }

const signIn = (on: Page, username = 'admin') => signInOn(on, username, password)

const shows = (on: Page, text: string | RegExp) =>
  on.locator('main, dialog, .toasts').getByText(text).first().waitFor({ timeout: longMs })
const statusOf = async (id: string) => (await product.ask(`GET /api/vms/${id}`)).body['status']
const makeVm = async (id: string, more: object = {}) => {
  const json = { id, name: id, memory: 256, cpus: 1, node: 'hv1', boot, ...more }
  const made = await product.ask('POST /api/vms', { ...wait, json })
  expect(made.body['state'], made.text).toBe('succeeded')
}

beforeAll(async () => {
  if (!canRun) return
  const starting = startBrowser()
  const guest = await guestOn(host)
  boot = guest
  product = await startProduct([host])
  browser = await starting
  page = await browser.newPage({ viewport: { width: 1280, height: 800 } })
  page.setDefaultTimeout(longMs)
  complaints = complaintsOf(page)
}, longMs)
afterAll(async () => {
  await browser?.close()
  await product?.stop()
})

test.runIf(canRun)(
  'a VM is created by keyboard alone, and is stopped and started from its page',
  async () => {
    const name = `keys-${++tries}`
    await page.goto(`${product.url}/vms/new`)
    if (await page.waitForSelector('.shell, [name=username]').then((found) => found.getAttribute('name')))
      await signIn(page)
    await page.waitForSelector('form [name=name]')
    await page.focus('form [name=name]')
    await page.keyboard.type(name)
    await page.keyboard.press('Tab')
    await page.keyboard.press('ControlOrMeta+a')
    await page.keyboard.type('256 MiB')
    await page.focus('[name=network]')
    await page.keyboard.press('ControlOrMeta+a')
    await page.keyboard.press('Delete')
    const press = async (selector: string, key: string) => {
      await page.focus(selector)
      await page.keyboard.press(key)
    }
    await press('details:last-of-type > summary', 'Enter')
    await page.selectOption('[name=node]', 'hv1')
    await page.focus('[name="boot.kernel"]')
    await page.keyboard.type(boot.kernel)
    await page.keyboard.press('Tab')
    await page.keyboard.type(boot.initrd)
    if (boot.cmdline) {
      await page.keyboard.press('Tab')
      await page.keyboard.type(boot.cmdline)
    }
    await page.keyboard.press('Enter')
    await page.waitForURL(/\/vms\/[0-9a-f-]{36}/)
    await page.locator('h1', { hasText: name }).waitFor()
    await page.locator('.content .status.good', { hasText: 'running' }).first().waitFor()
    const id = new URL(page.url()).pathname.split('/')[2]!
    expect(await statusOf(id)).toBe('running')

    await page.getByRole('button', { name: `Actions: ${name}` }).click()
    await page.getByRole('menuitem', { name: 'Switch off' }).click()
    await page.getByRole('dialog').getByRole('button', { name: 'Switch off' }).click()
    await page.locator('.content .status', { hasText: 'stopped' }).first().waitFor()
    await until(async () => (await statusOf(id)) === 'stopped', { what: 'the guest to be off' })
    await page.getByRole('button', { name: 'Start', exact: true }).click()
    await until(async () => (await statusOf(id)) === 'running', { what: 'the guest to run again' })
  },
  longMs,
)

test.runIf(canRun)(
  'changes of another user appear without a reload, and a removed VM leaves the list',
  async () => {
    const id = `other-${++tries}`
    await page.goto(`${product.url}/vms`)
    await page.waitForSelector('.shell')
    await makeVm(id)
    const row = page.locator('tbody tr', { hasText: id })
    await row.waitFor()
    await product.ask(`PATCH /api/vms/${id}`, { json: { tags: ['blue'] } })
    await row.getByText('blue').waitFor()
    await product.ask(`POST /api/vms/${id}/start`, wait)
    await row.getByText('running').waitFor()
    await product.ask(`POST /api/vms/${id}/stop`, wait)
    await product.ask(`DELETE /api/vms/${id}`, wait)
    await row.waitFor({ state: 'detached' })
  },
  longMs,
)

test.runIf(canRun)(
  'text of others is shown as text',
  async () => {
    const id = `text-${++tries}`
    const hostile = '<img src=x onerror="document.title=1"> \u202Etxt'
    await makeVm(id, { description: hostile })
    await page.goto(`${product.url}/vms/${id}`)
    await shows(page, /onerror/)
    expect(await page.locator('main img').count()).toBe(0)
    expect(await page.title()).toBe(`${id} · Horcrux`)
  },
  longMs,
)

const screens = [
  '/',
  '/vms',
  '/vms/new',
  '/containers',
  '/storage',
  '/nodes',
  '/migrations',
  '/ha',
  '/ha-groups',
  '/backup-jobs',
  '/networks',
  '/policies',
  '/operations',
  '/alerts',
  '/audit',
  '/users',
  '/roles',
  '/grants',
  '/account',
]

test.runIf(canRun)(
  'axe finds nothing on the screens in both themes, and none is wider than a phone',
  async () => {
    for (const path of screens) {
      await page.goto(product.url + path)
      await page.waitForSelector('h1')
      await page.locator('.skeleton').first().waitFor({ state: 'detached' })
      for (const theme of ['light', 'dark'] as const) expect(await violationsOf(page, theme), path).toEqual([])
      await page.setViewportSize({ width: 360, height: 740 })
      const over = await page.evaluate('document.documentElement.scrollWidth - innerWidth')
      expect(over, path).toBeLessThanOrEqual(0)
      await page.screenshot({ path: join(dir, `page${path.replaceAll('/', '-')}.png`) })
      await page.setViewportSize({ width: 1280, height: 800 })
    }
  },
  longMs,
)

test.runIf(canRun)('the content security policy was never broken, and no script has failed', () => {
  // 401 before each sign-in, 404 of the VM that was removed.
  expect(complaints.filter((text) => !/status of (401|404)/.test(text))).toEqual([])
})

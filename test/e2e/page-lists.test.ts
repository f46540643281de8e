import { join } from 'node:path'
import type { Browser, BrowserContext, Page } from 'playwright-core'
import { afterAll, beforeAll, expect, inject, test } from 'vitest'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { complaintsOf, signInOn, startBrowser } from '../lab/clients/browser.ts'
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
let context: BrowserContext
let page: Page
let complaints: string[]

const statusOf = async (id: string) => (await product.ask(`GET /api/vms/${id}`)).body['status']
const makeVm = async (id: string) => {
  const json = { id, name: id, memory: 128, cpus: 1, node: 'hv1' }
  expect((await product.ask('POST /api/vms', { ...wait, json })).body['state']).toBe('succeeded')
}

beforeAll(async () => {
  if (!canRun) return
  const starting = startBrowser()
  product = await startProduct([host])
  browser = await starting
  context = await browser.newContext({ viewport: { width: 1280, height: 800 } })
  page = await context.newPage()
  page.setDefaultTimeout(longMs)
  complaints = complaintsOf(page)
  await page.goto(product.url)
  await signInOn(page, 'admin', password)
}, longMs)
afterAll(async () => {
  await browser?.close()
  await product?.stop()
})

test.runIf(canRun)(
  'VMs are chosen with the keyboard, and one action is planned and done with them; one that cannot do it is left out',
  async () => {
    const name = `many-${++tries}-`
    for (const end of ['a', 'b', 'c']) await makeVm(name + end)
    await product.ask(`POST /api/vms/${name}b/start`, wait)
    await page.goto(`${product.url}/vms?q=${name}`)
    await page.locator('tbody tr').nth(2).waitFor()
    await page.locator('tbody tr').first().getByRole('checkbox').focus()
    await page.keyboard.press('Space')
    await page.keyboard.press('Shift+ArrowDown')
    await page.keyboard.press('Shift+ArrowDown')
    const bar = page.getByRole('toolbar', { name: 'Selection' })
    await bar.getByText('3 selected').waitFor()
    await page.screenshot({ path: join(process.env['SHOTS'] ?? dir, 'bulk-bar.png') })
    await bar.getByRole('button', { name: 'Start', exact: true }).focus()
    await page.keyboard.press('Enter')
    const dialog = page.getByRole('dialog')
    await dialog.getByText('2 can do it now, 1 cannot in their state, 0 you may not.').waitFor()
    await page.screenshot({ path: join(process.env['SHOTS'] ?? dir, 'bulk-plan.png') })
    await dialog.getByRole('button', { name: 'Start (2)' }).focus()
    await page.keyboard.press('Enter')
    await dialog.getByText('2 done, 0 failed, 1 left out').waitFor()
    await page.setViewportSize({ width: 360, height: 740 })
    await page.screenshot({ path: join(process.env['SHOTS'] ?? dir, 'bulk-done.png') })
    await page.setViewportSize({ width: 1280, height: 800 })
    for (const end of ['a', 'b', 'c']) expect(await statusOf(name + end)).toBe('running')
    await page.keyboard.press('Escape')
    await page.locator('tbody tr').first().getByRole('checkbox').focus()
    await page.keyboard.press('Escape')
    await bar.waitFor({ state: 'detached' })
  },
  longMs,
)

test.runIf(canRun)(
  'all tabs of a browser share one event stream, and another tab goes on with it when its tab is closed',
  async () => {
    const name = `tabs-${++tries}`
    const own = await browser.newContext()
    const sockets: boolean[] = []
    const tabs: Page[] = []
    for (let index = 0; index < 4; index++) {
      const tab = await own.newPage()
      tab.setDefaultTimeout(longMs)
      tab.on('websocket', (socket) => {
        const at = sockets.push(true) - 1
        socket.on('close', () => (sockets[at] = false))
      })
      await tab.goto(`${product.url}/vms`)
      if (index === 0) await signInOn(tab, 'admin', password)
      await tab.waitForSelector('.shell')
      tabs.push(tab)
    }
    const appears = async (id: string, on: Page[]) => {
      await makeVm(id)
      for (const tab of on) await tab.locator('tbody tr', { hasText: id }).waitFor()
    }
    await appears(`${name}-a`, tabs)
    expect(sockets).toEqual([true])
    const [leader, ...others] = tabs
    await leader!.close()
    // A change while no tab has the stream: the next leader asks for it.
    await appears(`${name}-b`, others)
    await appears(`${name}-c`, others)
    expect(sockets.slice(1)).toEqual([true])
    await own.close()
  },
  longMs,
)

test.runIf(canRun)(
  'a new VM is written as a form and as YAML in turn; mistakes are told at their lines',
  async () => {
    const name = `yaml-${++tries}`
    await page.goto(`${product.url}/vms/new`)
    await page.fill('form [name=name]', name)
    await page.fill('form [name=memory]', '256 MiB')
    await page.fill('form [name=network]', '')
    await page.getByRole('button', { name: 'As YAML' }).click()
    const yaml = page.getByLabel('The request as YAML')
    await yaml.waitFor()
    const text = await yaml.inputValue()
    expect(text).toContain(`name: ${name}\nmemory: 256\n`)
    await yaml.fill(`${text.replace('memory: 256', 'memory: 384')}node: hv1\ndescription: typed\n`)
    await page.screenshot({ path: join(process.env['SHOTS'] ?? dir, 'yaml.png') })
    await page.getByRole('button', { name: 'As a form' }).click()
    await page.waitForSelector('form [name=memory]')
    expect(await page.inputValue('form [name=memory]')).toBe('384 MiB')
    expect(await page.inputValue('form [name=description]')).toBe('typed')
    await page.getByRole('button', { name: 'As YAML' }).click()
    await yaml.fill((await yaml.inputValue()).replace('memory: 384', 'memory: 100'))
    const submit = page.getByRole('button', { name: 'Create VM' })
    await submit.click()
    await page.getByText('Line 2: memory: must be').waitFor()
    await yaml.fill((await yaml.inputValue()).replace('memory: 100', 'memory: 384\nmemory: 384'))
    await submit.click()
    await page.getByText('Line 3: ').waitFor()
    await page.setViewportSize({ width: 360, height: 740 })
    await page.screenshot({ path: join(process.env['SHOTS'] ?? dir, 'yaml-wrong.png') })
    await page.setViewportSize({ width: 1280, height: 800 })
    await yaml.fill((await yaml.inputValue()).replace('memory: 384\nmemory: 384', 'memory: 384'))
    await submit.click()
    await page.waitForURL(/\/vms\/[0-9a-f-]{36}/)
    const id = new URL(page.url()).pathname.split('/')[2]!
    await until(async () => (await product.ask(`GET /api/vms/${id}`)).status === 200, { what: 'the VM' })
    expect((await product.ask(`GET /api/vms/${id}`)).body).toMatchObject({ name, memory: 384, description: 'typed' })
  },
  longMs,
)

test.runIf(canRun)('the content security policy was never broken, and no script has failed', () => {
  // 401 before the sign-in, 422 of the wrong memory, 404 of the VM that is being made.
  expect(complaints.filter((text) => !/status of (401|422|404)/.test(text))).toEqual([])
})

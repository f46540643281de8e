import { join } from 'node:path'
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, expect, inject, test } from 'vitest'
import { guestPrefix } from '../../tools/tiny-guest/tiny-guest.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { complaintsOf, startBrowser, violationsOf } from '../lab/clients/browser.ts'
import { guestOn } from '../lab/guests/tiny-guest.ts'
import { type Product, startProduct } from '../lab/product/product.ts'
import { labHosts } from '../lab/hosts/lab.ts'
import { available } from '../lab/requirements.ts'
import { until } from '../lab/wait.ts'

const { dir } = inject('run')
const [host] = labHosts
const missing = (await localHost().which('chromium')) ? [] : ['chromium']
const canRun = host !== undefined && available('chromium', missing)
const wait = { headers: { prefer: 'wait=60' } }
const password = 'Sonnenblume-7'
let product: Product
let browser: Browser
let page: Page
let complaints: string[]

const serial = async () => String((await product.ask('GET /api/vms/tiny/serial')).body['text'])
const state = (name: string) => page.waitForSelector(`body[data-state="${name}"]`, { timeout: 120_000 })
const address = (type: string) => `${product.url}/console/?vm=tiny&type=${type}`

/** How many points of the guest's screen are lit, of how many. */
const lit = () =>
  page.evaluate(() => {
    // This runs in the page, whose types are not the server's.
    const { document } = globalThis as unknown as { document: { querySelector: (selector: string) => unknown } }
    type Context = { getImageData: (...box: number[]) => { data: Uint8Array } }
    type Canvas = { width: number; height: number; getContext: (kind: string) => Context }
    const canvas = document.querySelector('#view canvas') as Canvas
    const { width, height } = canvas
    const { data } = canvas.getContext('2d').getImageData(0, 0, width, height)
    return { width, height, points: data.filter((value, index) => index % 4 === 1 && value > 100).length }
  })

const keys: Record<string, string> = {
  $: 'Shift+Digit4',
  '(': 'Shift+Digit9',
  ')': 'Shift+Digit0',
  '*': 'Shift+Digit8',
  '|': 'Shift+Backslash',
  ' ': 'Space',
  '\n': 'Enter',
}
/** As a hand on a keyboard does it: a screen is told of keys, and makes no letters of them. */
async function press(text: string): Promise<void> {
  for (const letter of text)
    await page.keyboard.press(keys[letter] ?? (/[A-Z]/.test(letter) ? `Shift+Key${letter}` : letter), { delay: 20 })
}

beforeAll(async () => {
  if (!canRun) return
  const starting = startBrowser()
  const boot = await guestOn(host)
  product = await startProduct([host])
  const json = { id: 'tiny', name: 'tiny', memory: 256, cpus: 1, node: 'hv1', boot, start: true }
  const made = await product.ask('POST /api/vms', { ...wait, json })
  expect(made.body['state'], made.text).toBe('succeeded')
  browser = await starting
  page = await browser.newPage({ viewport: { width: 1000, height: 640 } })
  complaints = complaintsOf(page)
})
afterAll(async () => {
  await browser?.close()
  await product?.stop()
})

test.runIf(canRun)(
  'noVNC shows the screen of a guest and sends it the keys',
  async () => {
    await page.goto(address('vnc'))
    await page.fill('[name=username]', 'admin')
    await page.fill('[name=password]', password)
    await page.click('form button')
    await state('connected')
    await until(async () => (await serial()).includes(`${guestPrefix} up`), { what: 'the guest' })
    const text = await until(
      async () => {
        const seen = await lit()
        return seen.width === 720 && seen.points > 200 && seen
      },
      { what: 'the prompt on the screen' },
    )
    await page.click('#view canvas')
    await press('echo from-the-screen-$((6*7)) | tee /dev/ttyS0\n')
    await until(async () => (await serial()).includes('from-the-screen-42'), { what: 'what was typed to be done' })
    // The line that was typed, and the one that it wrote.
    const after = await until(
      async () => {
        const seen = await lit()
        return seen.points > text.points + 500 && seen
      },
      { what: 'the answer on the screen' },
    )
    expect(after).toMatchObject({ width: 720, height: 400 })
    const picture = await page.screenshot({ path: join(dir, 'console-vnc.png') })
    expect(picture.length).toBeGreaterThan(5000)
  },
  90_000,
)

test.runIf(canRun)(
  'a text is typed into the screen of a guest, and signs without a key are told',
  async () => {
    await state('connected')
    await page.getByRole('button', { name: 'Type text' }).click()
    const dialog = page.getByRole('dialog', { name: 'Type text' })
    await dialog.locator('#text').fill('é')
    await dialog.getByText('This layout has no key for: é').waitFor()
    await page.keyboard.press('Escape')
    await dialog.waitFor({ state: 'hidden' })
    await page.getByRole('button', { name: 'Type text' }).click()
    expect(await dialog.locator('#text').inputValue()).toBe('')
    await dialog.locator('#text').fill(`echo 'Typed: ~{a|B}_"#$%^&*()[]<>?!' | tee /dev/ttyS0\n`)
    // A busy emulated guest loses keys that come faster.
    await dialog.locator('#speed').selectOption('120')
    await page.screenshot({ path: join(process.env['SHOTS'] ?? dir, 'console-typing.png') })
    await dialog.getByRole('button', { name: 'Type text' }).click()
    await until(async () => (await serial()).includes(`Typed: ~{a|B}_"#$%^&*()[]<>?!`), { what: 'the text' })

    // A text that was cancelled is not typed, also after one that was.
    await page.getByRole('button', { name: 'Type text' }).click()
    await dialog.locator('#text').fill('echo cancelled >/dev/ttyS0\n')
    await page.keyboard.press('Escape')
    await dialog.waitFor({ state: 'hidden' })

    await page.setViewportSize({ width: 360, height: 640 })
    const bar = page.getByRole('toolbar', { name: 'Keys' })
    await bar.getByRole('button', { name: 'Keyboard' }).click()
    await page.keyboard.insertText('echo on-a-phone-$((6*7)) | tee /dev/ttyS0x')
    await page.keyboard.press('Backspace')
    await page.keyboard.press('Enter')
    await until(async () => (await serial()).includes('on-a-phone-42'), { what: 'the text of a phone' })
    expect(await serial()).not.toContain('cancelled')
    await bar.getByRole('button', { name: 'Ctrl' }).click()
    expect(await bar.getByRole('button', { name: 'Ctrl' }).getAttribute('aria-pressed')).toBe('true')
    await page.screenshot({ path: join(process.env['SHOTS'] ?? dir, 'console-phone.png') })
    expect(await violationsOf(page, 'dark')).toEqual([])
    await page.setViewportSize({ width: 1000, height: 640 })
  },
  90_000,
)

test.runIf(canRun)(
  'xterm.js shows the shell of a guest and sends it what is typed',
  async () => {
    await page.goto(address('serial'))
    await state('connected')
    const shows = (text: string) =>
      page.waitForFunction((wanted) => {
        const { document } = globalThis as unknown as {
          document: { querySelector: (s: string) => { innerText: string } }
        }
        return document.querySelector('.xterm-rows').innerText.includes(wanted)
      }, text)
    // The history, from before this viewer came.
    await shows('from-the-screen-42')
    await page.keyboard.type('echo typed-$((6*7))-$(uname -s)\n')
    await shows('typed-42-Linux')
    await page.screenshot({ path: join(dir, 'console-serial.png') })
  },
  60_000,
)

test.runIf(canRun)(
  'a stopped VM closes its console with the reason, and gives it again on reconnecting',
  async () => {
    expect(await product.ask('POST /api/vms/tiny/stop', wait)).toMatchObject({ body: { state: 'succeeded' } })
    await state('closed')
    expect(await page.textContent('#why')).toBe('The virtual machine was stopped')
    await page.click('#again')
    await page.waitForFunction(() => {
      const { document } = globalThis as unknown as {
        document: { querySelector: (s: string) => { innerText: string } }
      }
      return document.querySelector('#why').innerText.includes('must be running or paused')
    })
    await page.screenshot({ path: join(dir, 'console-closed.png') })
    expect(await product.ask('POST /api/vms/tiny/start', wait)).toMatchObject({ body: { state: 'succeeded' } })
    await page.click('#again')
    await state('connected')
    // 401 before the sign-in, 409 while it was stopped.
    const own = /status of (401|409)/
    expect(complaints.filter((text) => !own.test(text))).toEqual([])
  },
  60_000,
)

import { randomBytes } from 'node:crypto'
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { containers } from '#shared/contracts/container/containers.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { complaintsOf, signInOn, startBrowser } from '../lab/clients/browser.ts'
import { containerMaker, useEngines } from '../lab/containers/containers.ts'
import { labEngines } from '../lab/containers/engines.ts'
import { sample, seedOf } from '../lab/faults/seed.ts'
import { type Product, startProduct } from '../lab/product/product.ts'
import { done } from '../lab/product/run-operation.ts'
import { available } from '../lab/requirements.ts'

const lab = await labEngines()
const missing = (await localHost().which('chromium')) ? [] : ['chromium']
/** The page is the same on all engines: one of them is drawn. */
const [runtime] = available('chromium', missing) ? sample(lab.engines, seedOf('the shell of a container'), 1) : []
const longMs = 120_000

let product: Product
let browser: Browser
let page: Page

beforeAll(async () => {
  if (!runtime) return
  product = await startProduct([], { allowedPaths: [lab.dir] })
  await useEngines(product.horcrux, lab)
  browser = await startBrowser()
  page = await browser.newPage({ viewport: { width: 1100, height: 800 } })
  page.setDefaultTimeout(longMs)
  await page.goto(product.url)
  await signInOn(page, 'admin', 'Sonnenblume-7')
}, longMs)
afterAll(async () => {
  await browser?.close()
  await product?.stop()
})

test.runIf(runtime)(
  'the page of a container has a shell, of the size of its window, which ends in words',
  async () => {
    const complaints = complaintsOf(page)
    const id = `shell-${randomBytes(3).toString('hex')}`
    await containerMaker(product.horcrux, lab)(runtime!, id, { start: true })
    await page.goto(`${product.url}/containers/${id}/shell`)
    const frame = page.frameLocator('iframe')
    await frame.locator('body[data-state=connected]').waitFor()
    const screen = frame.locator('.xterm-rows')
    const has = (text: RegExp) => screen.getByText(text).first().waitFor()
    await frame.locator('.xterm-helper-textarea').focus()
    await page.keyboard.type('until stty size | grep -qv " 80$"; do sleep 0.1; done; echo $((6 * 7))-told\n')
    await has(/42-told/)
    await page.keyboard.type('exit 3\n')
    await has(/It has ended with 3/)
    await frame.locator('#closed').waitFor()
    // A busy engine may not answer a request in time, which is sent again.
    expect(complaints.filter((text) => !text.startsWith('Failed to load resource'))).toEqual([])
    await done(product.horcrux, containers, 'delete', { id, force: true })
  },
  longMs,
)

import type { Browser } from 'playwright-core'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { services } from '../../bin/services.ts'
import { issuedSetupToken } from '../../services/auth/sign-in/first-start.ts'
import { gatewayService } from '../../services/gateway/service.ts'
import { complaintsOf, startBrowser } from '../lab/clients/browser.ts'
import { startHorcrux, type TestHorcrux } from '../lab/product/horcrux.ts'
import { available } from '../lab/requirements.ts'

const missing = (await localHost().which('chromium')) ? [] : ['chromium']
const canRun = available('chromium', missing)
const longMs = 240_000
let horcrux: TestHorcrux | undefined
let browser: Browser | undefined

// The token is used up by a try: each has a Horcrux of its own.
beforeEach(async () => {
  if (!canRun) return
  browser = await startBrowser()
  horcrux = await startHorcrux({ services: [...services], config: { port: 0, rateLimit: 0, loginLimit: 0 } })
}, longMs)
afterEach(async () => {
  await browser?.close()
  await horcrux?.stop()
})

test.runIf(canRun)(
  'the link of the start makes the first administrator, and its token leaves the address',
  async () => {
    const page = await browser!.newPage()
    page.setDefaultTimeout(longMs)
    const complaints = complaintsOf(page)
    const asked: string[] = []
    page.on('request', (request) => asked.push(request.url()))
    const token = issuedSetupToken()
    expect(token).toBeDefined()
    await page.goto(`${gatewayService.url()}/#setup=${token}`)
    await page.locator('[name=token]').waitFor()
    expect(await page.locator('[name=token]').inputValue()).toBe(token)
    expect(new URL(page.url()).hash).toBe('')
    await page.fill('[name=password]', 'short')
    await page.keyboard.press('Enter')
    await page.locator('[name=password][aria-invalid=true]').waitFor()
    await page.fill('[name=password]', 'Sonnenblume-7')
    await page.keyboard.press('Enter')
    await page.getByRole('heading', { name: 'Dashboard' }).waitFor()
    expect(asked.filter((url) => url.includes(token!))).toEqual([])
    // 401 before the sign-in, 422 of the short password.
    expect(complaints.filter((text) => !/status of (401|422)/.test(text))).toEqual([])
  },
  longMs,
)

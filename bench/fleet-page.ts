import type { Browser, BrowserContext, CDPSession, Page } from 'playwright-core'
import { signInOn, startBrowser } from '../test/lab/clients/browser.ts'
import { median } from './figures.ts'

/** One load of a page: bytes on the wire of scripts and styles, and of the first part of the list of VMs; all requests. */
type Load = { codeBytes: number; listBytes: number; requests: number }

export type PageFigures = {
  signIn: Load
  list: Load
  firstRowsMs: number
  keyMs: number
  elements: number
  heapMib: number
}

const mib = 2 ** 20
const rounds = 3
const longMs = 120_000

/** Measures the page in Debian's Chromium: its first load, and its list of VMs. */
export async function measurePage(url: string, password: string): Promise<PageFigures> {
  const browser = await startBrowser()
  try {
    const context = await browser.newContext({ viewport: { width: 1280, height: 800 } })
    const { page, load: signIn } = await loaded(context, url, '[name=username]')
    await signInOn(page, 'admin', password)
    const storageState = await context.storageState()
    await context.close()
    const lists = []
    for (let round = 0; round < rounds; round++) lists.push(await measureList(browser, storageState, url))
    return { ...lists.at(-1)!, signIn, firstRowsMs: median(lists.map(({ firstRowsMs }) => firstRowsMs)) }
  } finally {
    await browser.close()
  }
}

type State = Awaited<ReturnType<BrowserContext['storageState']>>

/** One load of the list, with nothing in the cache of the browser. */
async function measureList(browser: Browser, storageState: State, url: string): Promise<Omit<PageFigures, 'signIn'>> {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, storageState })
  const begin = performance.now()
  const { page, load: list, session } = await loaded(context, `${url}/vms`, 'tbody tr')
  const firstRowsMs = performance.now() - begin
  // Until the page has come to rest.
  await page.waitForLoadState('networkidle', { timeout: longMs })
  const keyMs = await keyTime(page)
  const elements = await page.evaluate<number>('document.querySelectorAll("*").length')
  await session.send('HeapProfiler.collectGarbage')
  const { metrics } = await session.send('Performance.getMetrics')
  const heapMib = (metrics.find(({ name }) => name === 'JSHeapUsedSize')?.value ?? 0) / mib
  await context.close()
  return { list, firstRowsMs, keyMs, elements, heapMib }
}

type Loaded = { page: Page; load: Load; session: CDPSession }

/** Opens a page, and waits for an element. `load` is what it took until then. */
async function loaded(context: BrowserContext, url: string, selector: string): Promise<Loaded> {
  const page = await context.newPage()
  page.setDefaultTimeout(longMs)
  const session = await context.newCDPSession(page)
  const answers = new Map<string, { type: string; path: string }>()
  const load: Load = { codeBytes: 0, listBytes: 0, requests: 0 }
  session.on('Network.responseReceived', ({ requestId, type, response }) => {
    answers.set(requestId, { type, path: new URL(response.url).pathname })
  })
  session.on('Network.requestWillBeSent', () => void load.requests++)
  session.on('Network.loadingFinished', ({ requestId, encodedDataLength }) => {
    const { type = '', path = '' } = answers.get(requestId) ?? {}
    if (type === 'Script' || type === 'Stylesheet') load.codeBytes += encodedDataLength
    if (path === '/api/vms') load.listBytes ||= encodedDataLength
  })
  await session.send('Network.enable')
  await session.send('Performance.enable')
  await page.goto(url)
  await page.locator(selector).first().waitFor()
  return { page, load: { ...load }, session }
}

/** Runs in the page: the time of each search until its number of rows is painted. The server searches after a pause. */
const typing = `(async () => {
  const field = document.querySelector('input[type=search]')
  const total = document.querySelector('.list-bar .total')
  const frame = () => new Promise((resolve) => requestAnimationFrame(resolve))
  const changed = () => new Promise((resolve) => {
    const seen = new MutationObserver(() => (seen.disconnect(), resolve()))
    seen.observe(total, { subtree: true, characterData: true, childList: true })
  })
  const found = []
  for (const text of ['web', 'web prod', 'db', 'db test', 'ci', 'mail dev']) {
    const begin = performance.now()
    field.value = text
    field.dispatchEvent(new InputEvent('input', { bubbles: true }))
    await changed()
    await frame()
    found.push(performance.now() - begin)
  }
  return found
})()`

/** Searches by several words. @returns the median time from the last key until the frame with the result, in ms */
async function keyTime(page: Page): Promise<number> {
  return median(await page.evaluate<number[]>(typing))
}

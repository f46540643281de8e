import { type Browser, chromium, type Page } from 'playwright-core'

const program = '/usr/bin/chromium'
const quiet = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]

/** Debian's Chromium without a window, which reaches only the test's own servers. */
export const startBrowser = (): Promise<Browser> => chromium.launch({ executablePath: program, args: quiet })

/** Collects the page's complaints: errors of scripts, and loads that its content security policy has refused. */
export function complaintsOf(page: Page): string[] {
  const complaints: string[] = []
  page.on('pageerror', (error) => complaints.push(error.message))
  page.on('console', (message) => {
    if (message.type() === 'error') complaints.push(message.text())
  })
  return complaints
}

/** Signs in on the page that is open, and waits for the shell. */
export async function signInOn(page: Page, username: string, password: string): Promise<void> {
  await page.fill('[name=username]', username)
  await page.fill('[name=password]', password)
  await page.keyboard.press('Enter')
  await page.waitForSelector('.shell')
}

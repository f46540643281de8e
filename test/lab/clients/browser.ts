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

/** Debian's Chromium without a window, which reaches nothing but what the test serves. */
export const startBrowser = (): Promise<Browser> => chromium.launch({ executablePath: program, args: quiet })

/** What the page has to say for itself: errors of scripts, and what its policy has kept from it. */
export function complaintsOf(page: Page): string[] {
  const complaints: string[] = []
  page.on('pageerror', (error) => complaints.push(error.message))
  page.on('console', (message) => {
    if (message.type() === 'error') complaints.push(message.text())
  })
  return complaints
}

import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { chromium } from 'playwright-core'

/**
 * Makes the pictures of docs/using.md from a running Horcrux: `node tools/page-pictures.ts URL VM`, with the
 * password of admin on standard input. Each picture is of a screen in one theme, small enough for a page of text.
 */
const [url = 'http://127.0.0.1:8006', vm = 'web-1'] = process.argv.slice(2)
const folder = join(import.meta.dirname, '../docs/pictures')
const shots = [
  { name: 'dashboard', path: '/', theme: 'light' },
  { name: 'vms', path: '/vms', theme: 'dark' },
  { name: 'snapshots', path: `/vms/${vm}/snapshots`, theme: 'light' },
] as const

mkdirSync(folder, { recursive: true })
const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox'] })
const page = await browser.newPage({ viewport: { width: 1100, height: 640 } })
await page.goto(url)
await page.fill('[name=username]', 'admin')
await page.fill('[name=password]', readFileSync(0, 'utf8').trim())
await page.keyboard.press('Enter')
await page.waitForSelector('.shell')
for (const { name, path, theme } of shots) {
  await page.evaluate(`localStorage.setItem('horcrux.theme', '${theme}')`)
  await page.goto(url + path)
  await page.locator('h1').waitFor()
  await page.locator('.skeleton').first().waitFor({ state: 'detached' })
  await page.screenshot({ path: join(folder, `${name}.png`) })
}
await browser.close()

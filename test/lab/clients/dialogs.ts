import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Page } from 'playwright-core'
import { expect } from 'vitest'

const axe = readFileSync(fileURLToPath(import.meta.resolve('axe-core/axe.min.js')), 'utf8')
/** Names of files are fresh for each try of a test. */
let files = 0

/** Works with the dialogs of a page. @param dir folder for downloads and screenshots */
export function dialogsOf(page: Page, dir: string) {
  const press = (name: string) => page.getByRole('dialog').getByRole('button', { name, exact: true }).click()
  return {
    press,
    /** Opens the dialog of an action in the menu of a row. */
    choose: async (of: string, action: string): Promise<void> => {
      await page.getByRole('button', { name: `Actions: ${of}`, exact: true }).click()
      await page.getByRole('menuitem', { name: action, exact: true }).click()
      await page.getByRole('dialog').waitFor()
    },
    /** Starts a download of the open dialog. @returns the file that the browser has written */
    downloaded: async (name: string, button = 'Download'): Promise<string> => {
      const downloading = page.waitForEvent('download')
      await press(button)
      const file = await downloading
      expect(file.suggestedFilename()).toBe(name)
      const path = join(dir, `download-${++files}-${name}`)
      await file.saveAs(path)
      return path
    },
    /** Checks an open dialog with axe in both themes, and that it is no wider than a phone. */
    inspect: async (name: string): Promise<void> => {
      for (const theme of ['light', 'dark']) {
        await page.evaluate(`document.documentElement.dataset.theme = '${theme}'`)
        const found = await page.evaluate(`${axe}; axe.run(document, { resultTypes: ['violations'] })`)
        const { violations } = found as { violations: { id: string; nodes: { html: string }[] }[] }
        expect(violations.map(({ id, nodes }) => `${name} ${theme} ${id}: ${nodes[0]?.html}`)).toEqual([])
        await page.setViewportSize({ width: 360, height: 740 })
        const over = await page.evaluate('document.documentElement.scrollWidth - innerWidth')
        expect(over, name).toBeLessThanOrEqual(0)
        await page.screenshot({ path: join(dir, `storage-${name}-${theme}.png`) })
        await page.setViewportSize({ width: 1280, height: 800 })
      }
    },
  }
}

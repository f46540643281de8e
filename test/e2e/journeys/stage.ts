import type { Browser, Locator, Page } from 'playwright-core'
import type { Hand, Way } from '../../lab/clients/hand.ts'
import type { Product } from '../../lab/product/product.ts'

export const password = 'Sonnenblume-7'
export const longMs = 120_000

/** Page of a signed-in administrator, hand, and a fresh name for the things of one journey. */
export type Stage = {
  product: Product
  browser: Browser
  page: Page
  hand: Hand
  way: Way
  name: string
  /** A folder for files. */
  dir: string
  boot: { kernel: string; initrd: string; cmdline?: string }
  /** A running container that has written `first line` to its log. */
  container: () => Promise<string>
  makeVm: (id: string, more?: object) => Promise<void>
  makePool: (id: string) => Promise<void>
  go: (path: string) => Promise<void>
}
export type Journey = (stage: Stage) => Promise<void>

export const dialogOf = (page: Page) => page.getByRole('dialog')
export const field = (within: Page | Locator, name: string) => within.locator(`[name="${name}"]`)
export const button = (within: Page | Locator, name: string) => within.getByRole('button', { name, exact: true })

import type { Locator, Page } from 'playwright-core'

/** Ways of using the page: a mouse, the keyboard alone, or a mouse in a window of a phone's width. */
export const ways = ['mouse', 'keyboard', 'phone'] as const
export type Way = (typeof ways)[number]

export const windowOf = (way: Way) => (way === 'phone' ? { width: 360, height: 740 } : { width: 1280, height: 800 })

/** Elements that a press of Tab reaches at most, between two that are looked for. */
const mostTabs = 150

/** Actions on a page. By keyboard each element is reached with Tab or arrows, as a person would. */
export type Hand = {
  press: (target: Locator) => Promise<void>
  fill: (target: Locator, text: string) => Promise<void>
  choose: (select: Locator, value: string) => Promise<void>
  /** Opens the menu of an item, and presses one of its entries. */
  act: (name: string, verb: string) => Promise<void>
  /** By keyboard: presses keys that give the focus back, and goes back to an element before it. */
  leave: (keys: string, target: Locator) => Promise<void>
  chooseFile: (input: Locator, file: string) => Promise<void>
}

export function handOf(page: Page, way: Way): Hand {
  const has = (target: Locator) => target.evaluate((element) => element === element.ownerDocument.activeElement)
  const reach = async (target: Locator, key = 'Tab') => {
    await target.waitFor()
    for (let pressed = 0; !(await has(target)); pressed++) {
      if (pressed === mostTabs) throw new Error(`${target.toString()} is not reached by ${key}`)
      await page.keyboard.press(key)
    }
  }
  const press = async (target: Locator) => {
    if (way !== 'keyboard') return target.click()
    await reach(target)
    await page.keyboard.press((await target.getAttribute('type')) === 'checkbox' ? 'Space' : 'Enter')
  }
  return {
    press,
    fill: async (target, text) => {
      if (way !== 'keyboard') return target.fill(text)
      await reach(target)
      await page.keyboard.press('ControlOrMeta+a')
      await page.keyboard.press('Delete')
      await page.keyboard.type(text)
    },
    choose: async (select, value) => {
      if (way !== 'keyboard') return void (await select.selectOption(value))
      await reach(select)
      await page.keyboard.press('Home')
      for (let left = mostTabs; (await select.inputValue()) !== value && left > 0; left--)
        await page.keyboard.press('ArrowDown')
      if ((await select.inputValue()) !== value) throw new Error(`${select.toString()} has no '${value}'`)
    },
    act: async (name, verb) => {
      await press(page.getByRole('button', { name: `Actions: ${name}` }))
      const entry = page.getByRole('menuitem', { name: verb, exact: true })
      if (way !== 'keyboard') return entry.click()
      await reach(entry, 'ArrowDown')
      await page.keyboard.press('Enter')
    },
    leave: async (keys, target) => {
      await page.keyboard.press(keys)
      await reach(target, 'Shift+Tab')
    },
    chooseFile: async (input, file) => {
      const chooser = page.waitForEvent('filechooser')
      await press(input)
      await (await chooser).setFiles(file)
    },
  }
}

import { fileURLToPath } from 'node:url'
import type { InlineConfig, Plugin } from 'vite'
import { isChange } from '../shared/contract/contract.ts'
import { contracts } from '../shared/contracts/index.ts'
import { topics } from '../shared/contracts/core/events.ts'

const root = fileURLToPath(new URL('.', import.meta.url))
const name = 'virtual:actions'

/** Makes the table of all routed actions: `[route, access, changes]`. The contracts themselves stay out of the page. */
function actionTable(): Plugin {
  const entries = contracts.flatMap(({ name, actions }) =>
    Object.entries(actions).flatMap(([key, action]) =>
      action.rest === undefined
        ? []
        : [
            [
              `${name}.${key}`,
              [action.rest, ('itemAccess' in action && action.itemAccess) || action.can, isChange(action) ? 1 : 0],
            ],
          ],
    ),
  )
  return {
    name: 'horcrux-actions',
    resolveId: (id) => (id === name ? `\0${name}` : undefined),
    load: (id) =>
      id === `\0${name}`
        ? `export const actions = ${JSON.stringify(Object.fromEntries(entries))}\nexport const topics = ${JSON.stringify(topics)}`
        : undefined,
  }
}

export const pageConfig: InlineConfig = {
  root,
  configFile: false,
  logLevel: 'warn',
  plugins: [actionTable()],
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
  build: {
    target: 'es2022',
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    rolldownOptions: { input: { index: `${root}index.html`, console: `${root}console/index.html` } },
  },
}

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { InlineConfig, Plugin } from 'vite'
import { isChange } from '../shared/contract/contract.ts'
import { contracts } from '../shared/contracts/index.ts'
import { containers } from '../shared/contracts/container/containers.ts'
import { topics } from '../shared/contracts/core/events.ts'
import { requestedKinds } from '../shared/contracts/storage/pool-kinds.ts'
import { downloadRoute, volumeDownloads } from '../shared/contracts/storage/volume-downloads.ts'
import { vms } from '../shared/contracts/vm/vms.ts'

const root = fileURLToPath(new URL('.', import.meta.url))
const name = 'virtual:actions'

/** A field of a request as JSON Schema, as far as a form reads it. */
type Schema = { type?: string; description?: string; default?: unknown; enum?: string[] }

/** Fields of the form for a kind of storage pool. */
const fieldsOf = (given: Record<string, Schema>) =>
  Object.entries(given).map(([name, { type = 'string', description, default: initial }]) => ({
    name,
    type,
    ...(description !== undefined && { description }),
    ...(initial !== undefined && { initial }),
  }))

// TypeBox's schemas are JSON Schema.
const choices = (properties: object, ...names: string[]) =>
  names.map((name) => [name, (properties as Record<string, Schema>)[name]?.enum ?? []])

/** Names of the contracts that the page calls: the lines of the type in `api/contracts.ts`. */
function called(): Set<string> {
  const types = readFileSync(join(root, 'api/contracts.ts'), 'utf8')
  return new Set([...types.matchAll(/^ {2}'?([a-z-]+)'?: typeof /gm)].map(([, name]) => name!))
}

/** Facts of the contracts that the page needs: their routed actions as `[route, access, changes]`, and choices of forms. */
function facts(): Record<string, unknown> {
  const names = called()
  const asked = contracts.filter((contract) => names.has(contract.name))
  const actions = asked.flatMap(({ name, actions }) =>
    Object.entries(actions).flatMap(([key, action]) => {
      if (action.rest === undefined) return []
      const access = ('itemAccess' in action && action.itemAccess) || action.can
      return [[`${name}.${key}`, [action.rest, access, isChange(action) ? 1 : 0]]]
    }),
  )
  const download = [`GET ${downloadRoute}`, volumeDownloads.actions.open.can, 0]
  const kinds = Object.entries(requestedKinds).map(([kind, { given }]) => [kind, fieldsOf(given)])
  const ofVm = choices(vms.actions.create.params.properties, 'hypervisor', 'architecture')
  const ofContainer = choices(containers.actions.create.params.properties, 'runtime', 'restart_policy')
  return {
    actions: Object.fromEntries([...actions, ['volume-downloads.open', download]]),
    topics,
    poolKinds: Object.fromEntries(kinds),
    enums: Object.fromEntries([...ofVm, ...ofContainer]),
  }
}

/** Writes the facts into the page; the contracts themselves stay out of it. */
function contractFacts(): Plugin {
  const text = Object.entries(facts()).map(([key, value]) => `export const ${key} = ${JSON.stringify(value)}`)
  return {
    name: 'horcrux-contracts',
    resolveId: (id) => (id === name ? `\0${name}` : undefined),
    load: (id) => (id === `\0${name}` ? text.join('\n') : undefined),
  }
}

/** The bundler's configuration for the page. */
export const pageConfig: InlineConfig = {
  root,
  configFile: false,
  logLevel: 'warn',
  plugins: [contractFacts()],
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
  build: {
    target: 'es2022',
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    rolldownOptions: {
      input: { index: `${root}index.html`, console: `${root}console/index.html` },
      // The parts of the first load as one file in place of many small ones.
      output: {
        codeSplitting: {
          groups: [
            { name: 'base', test: /node_modules\/(preact|@preact)|web\/(api|words)\/(?!de|late)/ },
            { name: 'live', test: /web\/live\// },
          ],
        },
      },
    },
  },
}

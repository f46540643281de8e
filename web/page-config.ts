import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { TProperties } from 'typebox'
import type { InlineConfig, Plugin } from 'vite'
import { type Action, isChange } from '../shared/contract/contract.ts'
import { contracts } from '../shared/contracts/index.ts'
import { containers } from '../shared/contracts/container/containers.ts'
import { topics } from '../shared/contracts/core/events.ts'
import { backupFiles, fileDownloadRoute } from '../shared/contracts/storage/backup-files.ts'
import { poolSecrets, requestedKinds } from '../shared/contracts/storage/pool-kinds.ts'
import { downloadRoute, volumeDownloads } from '../shared/contracts/storage/volume-downloads.ts'
import { vms } from '../shared/contracts/vm/vms.ts'
import { examplesOf, inputKind, kindsOf, textExample } from './form-facts.ts'

const root = fileURLToPath(new URL('.', import.meta.url))

/** A field of a request as JSON Schema, as far as a form reads it. */
type Schema = { description?: string; default?: unknown; enum?: string[] }

/** Fields of the form for a kind of storage pool. */
const fieldsOf = (given: TProperties) =>
  Object.entries(given).map(([name, schema]) => {
    // TypeBox's schemas are JSON Schema.
    const { description, default: initial } = schema as Schema
    const kind = inputKind(name, schema, poolSecrets.includes(name))
    return {
      name,
      kind,
      ...(description !== undefined && { description }),
      ...(initial !== undefined && { initial }),
      ...(kind !== 'password' && { example: textExample(schema) }),
    }
  })

// TypeBox's schemas are JSON Schema.
const choices = (properties: object, ...names: string[]) =>
  names.map((name) => [name, (properties as Record<string, Schema>)[name]?.enum ?? []])

/** Names of the contracts that the page calls: the lines of the type in `api/contracts.ts`. */
function called(): Set<string> {
  const types = readFileSync(join(root, 'api/contracts.ts'), 'utf8')
  return new Set([...types.matchAll(/^ {2}'?([a-z-]+)'?: typeof /gm)].map(([, name]) => name!))
}

/** The routed actions that the page calls, by `contract.action`. */
function routed(): [name: string, action: Action][] {
  const names = called()
  return contracts
    .filter((contract) => names.has(contract.name))
    .flatMap(({ name, actions }) =>
      Object.entries(actions).map(([key, action]): [string, Action] => [`${name}.${key}`, action]),
    )
    .filter(([, { rest }]) => rest !== undefined)
}

/** Facts of the contracts that every page needs: the routed actions as `[route, access, changes]`, and the topics. */
function actionFacts(): Record<string, unknown> {
  const actions = routed().map(([name, action]) => {
    const access = ('itemAccess' in action && action.itemAccess) || action.can
    return [name, [action.rest, access, isChange(action) ? 1 : 0]]
  })
  // The gateway serves downloads by itself, so that their routes are not in the contracts.
  const downloads = [
    ['volume-downloads.open', [`GET ${downloadRoute}`, volumeDownloads.actions.open.can, 0]],
    ['backup-files.open', [`GET ${fileDownloadRoute}`, backupFiles.actions.open.can, 0]],
  ]
  return { actions: Object.fromEntries([...actions, ...downloads]), topics }
}

/** Facts of the contracts for forms: kinds of inputs and choices. They are loaded with the first form. */
function formFacts(): Record<string, unknown> {
  const kinds = Object.entries(requestedKinds).map(([kind, { given }]) => [kind, fieldsOf(given)])
  const ofVm = choices(vms.actions.create.params.properties, 'hypervisor', 'architecture')
  const ofContainer = choices(containers.actions.create.params.properties, 'runtime', 'restart_policy')
  return {
    kinds: kindsOf(routed()),
    examples: examplesOf(routed()),
    poolKinds: Object.fromEntries(kinds),
    enums: Object.fromEntries([...ofVm, ...ofContainer]),
  }
}

/** Writes the facts into the page; the contracts themselves stay out of it. */
function contractFacts(): Plugin {
  const modules: Record<string, () => Record<string, unknown>> = {
    'virtual:actions': actionFacts,
    'virtual:forms': formFacts,
  }
  const textOf = (facts: Record<string, unknown>) =>
    Object.entries(facts)
      .map(([key, value]) => `export const ${key} = ${JSON.stringify(value)}`)
      .join('\n')
  return {
    name: 'horcrux-contracts',
    resolveId: (id) => (Object.hasOwn(modules, id) ? `\0${id}` : undefined),
    load: (id) => {
      const facts = modules[id.slice(1)]
      return facts && textOf(facts())
    },
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
      // The parts of the first load as one file in place of many small ones.
      output: {
        codeSplitting: {
          groups: [
            {
              name: 'base',
              test: /node_modules\/(preact|@preact)|web\/(api|words)\/(?!de|late)|web\/widgets\/(button|dialog|icon|states)\.|web\/(main|shell\/(app|brand|setup-token|sign-in|wizard))\./,
            },
            // Parts of every screen after the sign-in, and the list of VMs.
            {
              name: 'screens',
              test: /web\/(live|lists)\/|web\/widgets\/(column|layout|menu|rows|status|table|toasts)\.|web\/shell\/(operations-drawer|places|shell|signed-in|theme)\.|web\/forms\/(bulk-result|run|verbs)\.|web\/screens\/(vms\.|vm\/(verbs|power-states)\.)/,
            },
          ],
        },
      },
    },
  },
}

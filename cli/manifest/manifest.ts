import { readFileSync } from 'node:fs'
import { nearestWord } from '../../bin/nearest-word.ts'
import { usageError } from '../errors.ts'
import type { Action, Manifest, Param } from './types.ts'

let loaded: Manifest | undefined

/** Every routed action of the API. */
export function manifest(): Manifest {
  // `npm run map` writes the file from the contracts.
  loaded ??= JSON.parse(readFileSync(new URL('manifest.json', import.meta.url), 'utf8')) as Manifest
  return loaded
}

export const nouns = () => [...new Set(manifest().map(({ noun }) => noun))]

/** Short names of nouns. */
const nounAliases: Record<string, string> = {
  ct: 'containers',
  cts: 'containers',
  ops: 'operations',
  op: 'operations',
  net: 'networks',
  disk: 'devices',
  disks: 'devices',
  nics: 'devices',
  policy: 'network-policies',
  'network-policy': 'network-policies',
  storage: 'pools',
  'storage-pool': 'pools',
  'storage-pools': 'pools',
  schedules: 'snapshot-schedules',
  grants: 'permissions',
  grant: 'permissions',
  template: 'templates',
}

/** Other words for verbs; the first that the noun has is meant. */
const verbAliases: Record<string, string[]> = {
  ls: ['list'],
  show: ['get'],
  describe: ['get'],
  inspect: ['get'],
  rm: ['delete', 'remove'],
  remove: ['delete'],
  delete: ['remove'],
  destroy: ['delete'],
  add: ['create', 'register'],
  new: ['create'],
  run: ['create'],
  set: ['update', 'change', 'replace'],
  update: ['change', 'replace', 'set'],
  change: ['update', 'replace'],
  replace: ['update', 'change'],
  up: ['start'],
  down: ['shutdown', 'stop'],
  reboot: ['restart'],
  poweroff: ['stop'],
  suspend: ['pause'],
  unpause: ['resume'],
  resize: ['resize-disk'],
}

/** Verbs of one noun that people expect at another one. */
const movedVerbs: Record<string, string[]> = { vms: ['devices', 'guests', 'consoles'] }

/** `vm` for `vms`, `policy` for `policies`; undefined for no noun. */
export function nounOf(word: string): string | undefined {
  const all = nouns()
  const plural = [word, nounAliases[word], `${word}s`, word.replace(/y$/, 'ies')]
  return plural.find((one) => one !== undefined && all.includes(one))
}

export const actionsOf = (noun: string) => manifest().filter((action) => action.noun === noun)

/** The action of a verb: the noun's own, by another word, or one of a related noun. */
export function findAction(noun: string, verb: string): Action | undefined {
  const own = (word: string) => manifest().find((action) => action.noun === noun && action.verb === word)
  const direct = own(verb)
  if (direct) return direct
  const byAlias = verbAliases[verb]?.map(own).find((found) => found !== undefined)
  if (byAlias) return byAlias
  return manifest().find((action) => movedVerbs[noun]?.includes(action.noun) && action.verb === verb)
}

/** @throws CommandError that names the nearest verb */
export function actionOf(noun: string, verb: string): Action {
  const found = findAction(noun, verb)
  if (found) return found
  const near = nearestWord(verb, [...actionsOf(noun).map((action) => action.verb), ...Object.keys(verbAliases)])
  const known = near !== undefined && findAction(noun, near) ? near : undefined
  throw usageError(
    `there is no '${noun} ${verb}'${known ? `; did you mean '${noun} ${known}'?` : ''}`,
    `horcrux ${noun} --help`,
  )
}

export const flagOf = ({ name }: Pick<Param, 'name'>) => name.replaceAll('_', '-')

/** The parameters in the path: positional arguments. */
export const pathParams = ({ params }: Action) => params.filter(({ path }) => path)

/** A required name that a creation takes as its argument, if the route has none: `vms create web-1`. */
export function nameParam(action: Action): Param | undefined {
  if (action.method !== 'POST' || pathParams(action).length > 1) return undefined
  const isCreation = ['create', 'register'].includes(action.verb) || action.verb.startsWith('create-')
  if (!isCreation) return undefined
  return ['name', 'username'].map((name) => action.params.find((param) => param.name === name)).find(Boolean)
}

/** The query of a list, in one language: `vms list status:running web`. */
export const queryParam = (action: Action): Param | undefined =>
  action.result === 'page' ? action.params.find(({ name }) => name === 'q') : undefined

/** Positional arguments of an action. */
export const positionalParams = (action: Action) => {
  const last = nameParam(action) ?? queryParam(action)
  return [...pathParams(action), ...(last ? [last] : [])]
}

/** The field that identifies a resource: the last one in the path of `get`. */
export function keyOf(noun: string): string {
  const get = findAction(noun, 'get') ?? manifest().find((one) => one.noun === noun && one.method === 'DELETE')
  return get ? (pathParams(get).at(-1)?.name ?? 'id') : 'id'
}

/** The action that does this one with many items: `vms stop --query 'tags:test'`. */
export function bulkFor({ path, verb }: Action): Action | undefined {
  const list = /^(.*)\/\{\w+\}/.exec(path)?.[1]
  const takes = ({ params }: Action) => params.find(({ name }) => name === 'action')?.enum?.includes(verb) ?? false
  return manifest().find((one) => one.method === 'POST' && one.path === `${list}/bulk` && takes(one))
}

import { mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs'
import { readContexts, targetOf } from '../contexts/store.ts'
import { environment } from '../environment.ts'
import { listFor, nameFieldOf } from '../actions/find-by-name.ts'
import { findAction, keyOf, nounOf } from '../manifest/manifest.ts'
import type { Action } from '../manifest/types.ts'
import { shown } from '../output/width.ts'

/** A word that fits, with a description. */
export type Candidate = { word: string; does?: string | undefined }

const freshMs = 10_000
const most = 1000

/**
 * Names of resources for a parameter or flag, such as `vm_id`, `pool` or `node`: of the last 10 seconds, else from the
 * server, within a short time. If it does not answer, those that it answered before, however old.
 */
export async function namesFor(
  param: string,
  action?: Action,
  values: Record<string, string | undefined> = {},
): Promise<Candidate[]> {
  if (param === 'context')
    return Object.entries(readContexts().contexts).map(([word, { url }]) => ({ word, does: url }))
  const list = action ? (listFor(action, param.replaceAll('-', '_')) ?? ownList(action)) : listOfWord(param)
  if (!list) return []
  const path = list.path.replaceAll(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(values[name] ?? ''))
  if (path.includes('//') || path.endsWith('/')) return []
  return cached(path, () => asked(path, list))
}

const ownList = (action: Action) =>
  action.path.endsWith('}') || action.method !== 'GET' ? findAction(action.noun, 'list') : undefined

function listOfWord(word: string): Action | undefined {
  const noun = nounOf(word.replace(/[-_]id$/, '')) ?? { user: 'users', role: 'roles' }[word]
  const list = noun === undefined ? undefined : findAction(noun, 'list')
  return list && !list.path.includes('{') ? list : undefined
}

async function asked(path: string, list: Action): Promise<Candidate[]> {
  const { ask } = await import('../http/request.ts')
  const key = keyOf(list.noun)
  const named = nameFieldOf(list)
  const fields = named ? `&fields=id,${named}` : ''
  const timeoutMs = environment.completionTimeoutMs()
  const signal = AbortSignal.timeout(timeoutMs)
  const { body } = await ask<{ data: Record<string, unknown>[] }>(targetOf({}), {
    path: `${path}?limit=${most}${fields}`,
    signal,
    timeoutMs,
  })
  return body.data.flatMap((item) => {
    const id = item[key] ?? item['id'] ?? item['name']
    const name = item[named ?? 'name']
    if (typeof id !== 'string') return []
    // A name that is no made-up id is what people type.
    const isMade = /^[0-9a-f]{8}-/.test(id)
    const word = isMade && typeof name === 'string' && /^[\w.-]+$/.test(name) ? name : id
    return [{ word, does: shown(word === id ? (typeof name === 'string' && name !== id ? name : '') : id) }]
  })
}

/** Names of the last seconds, so that the second Tab is instant. */
async function cached(path: string, read: () => Promise<Candidate[]>): Promise<Candidate[]> {
  const folder = environment.cacheFolder()
  const server = encodeURIComponent(`${targetOf({}).url}${path}`).slice(0, 200)
  const file = folder && `${folder}/names/${server}`
  if (file && Date.now() - (statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0) < freshMs)
    return JSON.parse(readFileSync(file, 'utf8')) as Candidate[]
  const names = await read().catch((error: unknown) => {
    // A server that is slow or away: the names of before are better than none.
    const known = file && statSync(file, { throwIfNoEntry: false })
    if (known) return JSON.parse(readFileSync(file, 'utf8')) as Candidate[]
    throw error
  })
  if (file) {
    mkdirSync(`${folder}/names`, { recursive: true, mode: 0o700 })
    writeFileSync(`${file}.${process.pid}`, JSON.stringify(names), { mode: 0o600 })
    renameSync(`${file}.${process.pid}`, file)
  }
  return names
}

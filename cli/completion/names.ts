import { createHash } from 'node:crypto'
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

type Of = { action?: Action; values?: Record<string, string | undefined> }

/**
 * Names of resources for a parameter or flag, such as `vm_id`, `pool` or `node`: of the last 10 seconds, else from the
 * server, within a short time. If it does not answer, those that it answered before, however old.
 * @param begin the letters that are typed: of a long list the server answers only names that begin so
 */
export async function namesFor(param: string, begin: string, { action, values = {} }: Of = {}): Promise<Candidate[]> {
  if (param === 'context')
    return Object.entries(readContexts().contexts).map(([word, { url }]) => ({ word, does: url }))
  const list = action ? (listFor(action, param.replaceAll('-', '_')) ?? ownList(action)) : listOfWord(param)
  if (!list) return []
  const path = list.path.replaceAll(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(values[name] ?? ''))
  if (path.includes('//') || path.endsWith('/')) return []
  return cached(path, isSearched(list) ? begin : '', (wanted) => asked(path, list, wanted))
}

const ownList = (action: Action) =>
  action.path.endsWith('}') || action.method !== 'GET' ? findAction(action.noun, 'list') : undefined

function listOfWord(word: string): Action | undefined {
  const noun = nounOf(word.replace(/[-_]id$/, '')) ?? { user: 'users', role: 'roles' }[word]
  const list = noun === undefined ? undefined : findAction(noun, 'list')
  return list && !list.path.includes('{') ? list : undefined
}

const isSearched = (list: Action) => nameFieldOf(list) !== undefined && list.params.some(({ name }) => name === 'q')

async function asked(path: string, list: Action, begin: string): Promise<Candidate[]> {
  const { ask } = await import('../http/request.ts')
  const key = keyOf(list.noun)
  const named = nameFieldOf(list)
  const fields = named ? `&fields=id,${named}` : ''
  const search = begin ? `&q=${encodeURIComponent(`id:${begin}* or ${named}:${begin}*`)}` : ''
  const timeoutMs = environment.completionTimeoutMs()
  const signal = AbortSignal.timeout(timeoutMs)
  const { body } = await ask<{ data: Record<string, unknown>[] }>(targetOf({}), {
    path: `${path}?limit=${most}${fields}${search}`,
    signal,
    timeoutMs,
  })
  return body.data.flatMap((item) => {
    const id = item[key] ?? item['id'] ?? item['name']
    const name = item[named ?? 'name']
    if (typeof id !== 'string') return []
    // A name that is no made-up id is what people type; any name is, once they have typed its first letters.
    const isMade = /^[0-9a-f]{8}-/.test(id) || (begin !== '' && !id.startsWith(begin))
    const word = isMade && typeof name === 'string' && /^[\w.-]+$/.test(name) ? name : id
    return [{ word, does: shown(word === id ? (typeof name === 'string' && name !== id ? name : '') : id) }]
  })
}

/** Names of the last seconds, so that the second Tab is instant. All names of a short list serve any letters. */
async function cached(
  path: string,
  begin: string,
  read: (begin: string) => Promise<Candidate[]>,
): Promise<Candidate[]> {
  const folder = environment.cacheFolder()
  const fileOf = (letters: string) =>
    folder &&
    `${folder}/names/${createHash('sha256')
      .update(`${targetOf({}).url}${path} ${letters}`)
      .digest('hex')}`
  const all = keptIn(fileOf(''))
  if (all && all.isFresh && all.names.length < most) return all.names
  // A search of letters that are no name would be refused.
  const letters = /^[\w.-]+$/.test(begin) ? begin : ''
  const file = fileOf(letters)
  const known = keptIn(file)
  if (known?.isFresh) return known.names
  const names = await read(letters).catch((error: unknown) => {
    // A server that is slow or away: the names of before are better than none.
    const before = known ?? all
    if (before) return before.names
    throw error
  })
  if (file) {
    mkdirSync(`${folder}/names`, { recursive: true, mode: 0o700 })
    writeFileSync(`${file}.${process.pid}`, JSON.stringify(names), { mode: 0o600 })
    renameSync(`${file}.${process.pid}`, file)
  }
  return names
}

function keptIn(file: string | undefined): { names: Candidate[]; isFresh: boolean } | undefined {
  const found = file === undefined ? undefined : statSync(file, { throwIfNoEntry: false })
  if (!found) return undefined
  return {
    names: JSON.parse(readFileSync(file!, 'utf8')) as Candidate[],
    isFresh: Date.now() - found.mtimeMs < freshMs,
  }
}

import { chmodSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { environment } from '../environment.ts'
import { CommandError, usageError } from '../errors.ts'
import type { Credential, Target } from '../http/target.ts'
import { localUrl } from './local.ts'

/** A server that the user has signed in to. */
export type Context = { url: string; user?: string; credential?: Credential; certificate?: string }
export type Contexts = { current?: string; contexts: Record<string, Context> }

const defaultUrl = 'http://127.0.0.1:8006'

const fileOf = () => {
  const folder = environment.configFolder()
  return folder === undefined ? undefined : `${folder}/contexts.json`
}

/** The stored contexts; none without a file. @throws CommandError if the file cannot be read */
export function readContexts(): Contexts {
  const file = fileOf()
  try {
    return file === undefined ? { contexts: {} } : (JSON.parse(readFileSync(file, 'utf8')) as Contexts)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return { contexts: {} }
    throw new CommandError(`cannot read ${file}: ${(error as Error).message}`, { cause: error })
  }
}

/** Stores the contexts; the file has credentials, so that only its owner may read it. */
export function writeContexts(contexts: Contexts): void {
  const file = fileOf()
  if (file === undefined)
    throw new CommandError('there is no place for the sign-in: HOME and XDG_CONFIG_HOME are not set')
  mkdirSync(environment.configFolder()!, { recursive: true, mode: 0o700 })
  const made = `${file}.${process.pid}`
  writeFileSync(made, `${JSON.stringify(contexts, null, 2)}\n`, { mode: 0o600 })
  chmodSync(made, 0o600)
  renameSync(made, file)
}

export const sameUrl = (url: string) => url.replace(/\/+$/, '').replace(/\/api(\/v1)?$/, '')

/** `10.0.0.5:8006` as a URL. @throws CommandError */
export function urlOf(text: string): string {
  const url = /^https?:\/\//.test(text) ? text : `https://${text}`
  if (!URL.canParse(url)) throw usageError(`'${text}' is no address of a server, such as https://10.0.0.5:8006`)
  const { protocol, host, pathname } = new URL(url)
  return sameUrl(`${protocol}//${host}${pathname}`)
}

type Wanted = { context?: string | undefined; url?: string | undefined }

/** The server that a command talks to: flag, environment, current context, the one that runs here. */
export function targetOf(wanted: Wanted): Target {
  const token = environment.token()
  const override: Partial<Target> = token === undefined ? {} : { credential: { kind: 'token', value: token } }
  const stored = readContexts()
  const url = wanted.url ?? (wanted.context === undefined ? environment.url() : undefined)
  if (url !== undefined) {
    const given = urlOf(url)
    const known = Object.entries(stored.contexts).find(([, context]) => context.url === given)
    return { ...(known ? contextTarget(...known) : { url: given }), ...override }
  }
  const name = wanted.context ?? environment.context() ?? stored.current
  if (name === undefined) return { url: localUrl() ?? defaultUrl, ...override }
  const context = Object.hasOwn(stored.contexts, name) ? stored.contexts[name] : undefined
  if (!context) {
    const known = Object.keys(stored.contexts).join(', ')
    throw usageError(`there is no context '${name}'${known ? `; there are ${known}` : ''}`, 'horcrux login URL')
  }
  return { ...contextTarget(name, context), ...override }
}

const contextTarget = (name: string, { url, credential, certificate }: Context): Target => ({
  url,
  context: name,
  ...(credential && { credential }),
  ...(certificate !== undefined && { certificate }),
})

/** Stores a context and makes it the current one. */
export function keepContext(name: string, context: Context): void {
  const { contexts } = readContexts()
  writeContexts({ current: name, contexts: { ...contexts, [name]: context } })
}

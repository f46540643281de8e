import { cacheFolder } from './cache-folder.js'

const { env } = process

/** A variable that is set and not empty. */
const given = (name: string) => env[name]?.trim() || undefined

/** The settings of the client. It is the only file of the client that reads the environment, besides the cache's folder. */
export const environment = {
  url: () => given('HORCRUX_URL'),
  token: () => given('HORCRUX_TOKEN'),
  context: () => given('HORCRUX_CONTEXT'),
  configFolder: () => {
    const base = given('XDG_CONFIG_HOME') ?? (given('HOME') && `${given('HOME')}/.config`)
    return base && `${base}/horcrux`
  },
  cacheFolder,
  runtimeFolder: () => given('XDG_RUNTIME_DIR'),
  editor: () => given('VISUAL') ?? given('EDITOR') ?? 'vi',
  browser: () => given('BROWSER') ?? 'xdg-open',
  /** https://no-color.org, and terminals without control sequences. */
  isPlain: () => given('NO_COLOR') !== undefined || given('TERM') === 'dumb',
  isCi: () => given('CI') !== undefined,
  columns: () => Number(given('COLUMNS')) || undefined,
  /** Words of the completion scripts. */
  completionTimeoutMs: () => Number(given('HORCRUX_COMPLETION_TIMEOUT_MS')) || 200,
}

import { readdirSync, statSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { localHost } from '#shared/nodes/host/local/local.ts'

const root = resolve(import.meta.dirname, '..')
const built = join(root, 'dist/web/index.html')
/** The sources of the page. The contracts give it the table of actions; the lock file, its libraries. */
const sources = ['web', 'shared/contract', 'shared/contracts', 'package-lock.json']

function newestIn(path: string): number {
  const stat = statSync(path)
  if (!stat.isDirectory()) return stat.mtimeMs
  return Math.max(...readdirSync(path).map((name) => newestIn(join(path, name))))
}

function isFresh(): boolean {
  const { mtimeMs } = statSync(built, { throwIfNoEntry: false }) ?? { mtimeMs: 0 }
  return mtimeMs > Math.max(...sources.map((path) => newestIn(join(root, path))))
}

/** Builds the web page if it is missing or older than its sources. In a process of its own: the bundler stays out of ours. */
export async function ensurePage(): Promise<void> {
  if (isFresh()) return
  await localHost().runChecked(process.execPath, [join(root, 'web/build.ts')], { timeoutMs: 120_000 })
}

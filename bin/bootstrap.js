// Plain JavaScript without packages: Node 20 or newer runs it in a fresh clone.
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { constants } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const node = join(root, 'node_modules/.bin/node')

/** Installs the packages of package-lock.json, Node 24 among them, unless they are complete. */
export function ensurePackages({ development }) {
  const missing = missingPackages(development)
  if (missing.length === 0) return
  const some = missing.length > 3 ? `${missing.length} packages` : missing.join(', ')
  process.stderr.write(`Installing ${some} with npm ci (once; it brings Node 24) ...\n`)
  const npm = process.env.npm_execpath?.endsWith('.js') ? [process.execPath, process.env.npm_execpath] : ['npm']
  // npm passes its settings to its children by environment; `npm ci` below must use the project's.
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('npm_')))
  const { status, error } = spawnSync(npm[0], [...npm.slice(1), 'ci', '--no-progress', '--loglevel=error'], {
    cwd: root,
    env,
    stdio: ['ignore', 2, 2],
  })
  if (status === 0) return
  process.stderr.write(
    `\nHorcrux could not install its packages${error ? `: ${error.message}` : ''}.\n` +
      `  - is the npm registry reached? npm ping\n  - is ${root} writable for you?\n  - then try again: npm ci\n`,
  )
  process.exit(1)
}

function missingPackages(development) {
  const wanted = packagesOf(join(root, 'package-lock.json'))
  const there = packagesOf(join(root, 'node_modules/.package-lock.json'))
  if (!existsSync(node)) return Object.keys(wanted).filter(Boolean)
  return Object.entries(wanted)
    .filter(([path, { optional, devOptional, dev }]) => path && !optional && !devOptional && (development || !dev))
    .filter(([path, { version }]) => !there[path] || there[path].version !== version)
    .map(([path]) => path.replace(/^.*node_modules\//, ''))
}

function packagesOf(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8')).packages
  } catch {
    return {}
  }
}

const platform = join(root, 'shared/platform')

/**
 * Continues as `script` under Node 24: replaces this process if Node can, else runs it as a child. The options reduce
 * memory: semi-spaces of 4 MiB instead of 16, one malloc arena for all threads, and types stripped before the
 * start. `npm run bench idle` measures the gain, `npm run bench gateway` shows that throughput is the same.
 */
export function goOnAs(script, args) {
  const { flags, environment } = JSON.parse(readFileSync(join(platform, 'node-options.json'), 'utf8'))
  const words = [...flags, '--import', join(platform, 'strip-types.js'), join(root, 'bin', script), ...args]
  replaceBy(words, { ...environment, ...process.env })
}

/**
 * Continues as the command line (`cli/`) under Node 24.
 * @param {string[]} args
 */
export function goOnAsClient(args) {
  replaceBy(['--disable-warning=ExperimentalWarning', join(root, 'cli/start.js'), ...args], process.env)
}

function replaceBy(words, env) {
  if (process.execve && Number(process.versions.node.split('.')[0]) >= 24) {
    process.removeAllListeners('warning') // "execve is experimental"
    process.execve(node, [node, ...words], env)
  }
  const child = spawn(node, words, { stdio: 'inherit', env })
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR2', 'SIGWINCH'])
    process.on(signal, () => child.kill(signal))
  child.on('error', (error) => {
    process.stderr.write(`${node} does not start: ${error.message}\nRemove node_modules and try again.\n`)
    process.exit(1)
  })
  child.on('exit', (code, signal) => process.exit(code ?? 128 + constants.signals[signal]))
}

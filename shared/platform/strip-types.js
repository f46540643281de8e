// Plain JavaScript: it loads the TypeScript.
import { spawnSync } from 'node:child_process'
import { hash } from 'node:crypto'
import { globSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { registerHooks, stripTypeScriptTypes } from 'node:module'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

/**
 * A module hook (`node --import`) that reads each TypeScript file without its types from a cache on disk. Node's own
 * stripper stays in memory once it has run, 20 MB in each thread; its compile cache spares that, and instead keeps 20 MB
 * of compiled code in memory. Files that are not in the cache yet are stripped by a process that ends.
 */
const root = fileURLToPath(new URL('../..', import.meta.url))
const folder = join(root, 'node_modules/.cache/horcrux-stripped')
const sources = ['bin', 'bench', 'cli', 'packages', 'services', 'shared', 'test'].map((name) => `${name}/**/*.ts`)

/** The file's name in the cache. Another Node may strip in another way. */
const nameOf = (source) => `${hash('sha1', process.version + source)}.js`

let hasFilled = false

function strippedOf(source) {
  const file = join(folder, nameOf(source))
  const cached = read(file)
  if (cached !== undefined) return cached
  const words = ['--disable-warning=ExperimentalWarning', import.meta.filename]
  // Without the environment of a service, which has its secrets.
  if (!hasFilled) spawnSync(process.execPath, words, { env: {} })
  hasFilled = true
  // A process whose cache folder cannot be written strips by itself.
  return read(file) ?? stripTypeScriptTypes(source)
}

function read(file) {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return undefined
  }
}

/** Strips every source file of the repository that is not in the cache, and removes the files that are out of date. */
function fill() {
  mkdirSync(folder, { recursive: true })
  const outdated = new Set(readdirSync(folder))
  for (const path of globSync(sources, { cwd: root, exclude: (name) => name.includes('node_modules') })) {
    const source = readFileSync(join(root, path), 'utf8')
    const name = nameOf(source)
    if (outdated.delete(name) || read(join(folder, name)) !== undefined) continue
    const made = join(folder, `.${process.pid}`)
    writeFileSync(made, stripTypeScriptTypes(source))
    // Another process may be reading: it gets the whole file or none.
    renameSync(made, join(folder, name))
  }
  for (const name of outdated) rmSync(join(folder, name), { force: true })
}

if (process.argv[1] === import.meta.filename) fill()
else
  registerHooks({
    load(url, context, next) {
      if (!url.startsWith(pathToFileURL(root).href) || !url.endsWith('.ts') || url.includes('/node_modules/'))
        return next(url, context)
      return { format: 'module', source: strippedOf(readFileSync(new URL(url), 'utf8')), shortCircuit: true }
    },
  })

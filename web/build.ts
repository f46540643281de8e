import { brotliCompressSync, constants, gzipSync } from 'node:zlib'
import { existsSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { build } from 'vite'
import { pageConfig } from './page-config.ts'

const target = resolve(import.meta.dirname, '../dist/web')
const made = `${target}.${process.pid}`

/** Writes the compressed forms beside each text file; the gateway sends them as they are. */
function compress(folder: string): void {
  for (const entry of readdirSync(folder, { withFileTypes: true, recursive: true })) {
    if (!entry.isFile() || !/\.(js|css|html|svg)$/.test(entry.name)) continue
    const path = join(entry.parentPath, entry.name)
    const bytes = readFileSync(path)
    if (bytes.length < 512) continue
    writeFileSync(`${path}.gz`, gzipSync(bytes, { level: 9 }))
    writeFileSync(`${path}.br`, brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 9 } }))
  }
}

await buildPage('index.html')
await buildPage('console/index.html')
compress(made)
putInPlace()

/** Builds a page by itself: a chunk that two pages share would run the start of the one in the other. */
async function buildPage(file: string): Promise<void> {
  const { rolldownOptions, ...options } = pageConfig.build ?? {}
  const input = join(import.meta.dirname, file)
  await build({
    ...pageConfig,
    build: { ...options, outDir: made, emptyOutDir: false, rolldownOptions: { ...rolldownOptions, input } },
  })
}

/**
 * Puts the page in place as a whole: a gateway that serves the folder never finds half of it. Of two builds at a time the
 * later one may find that of the other, and drops its own.
 */
function putInPlace(): void {
  const before = `${made}.before`
  try {
    if (existsSync(target)) renameSync(target, before)
    renameSync(made, target)
  } catch (error) {
    if (!existsSync(join(target, 'index.html'))) throw error
    rmSync(made, { recursive: true, force: true })
  }
  rmSync(before, { recursive: true, force: true })
}

// Plain JavaScript: turns on the compile cache before TypeScript is loaded, which saves stripping and compiling it.
import module from 'node:module'
import { cacheFolder } from './cache-folder.js'

const folder = cacheFolder()
if (folder !== undefined) module.enableCompileCache?.(`${folder}/compiled`)
await import('./main.ts')

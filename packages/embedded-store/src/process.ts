import { getCompileCacheDir } from 'node:module'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'

/*
 * How the store is started as a process of its own: `node ...nodeFlags storeProgram` with `nodeEnvironment()`. It keeps
 * memory small, and ends a runaway at about 1 GB, so that whoever keeps it running starts it anew.
 */
export const storeProgram = fileURLToPath(new URL('main.ts', import.meta.url))

export const nodeFlags = [
  '--disable-warning=ExperimentalWarning',
  // what a command leaves behind is small and short-lived
  '--max-semi-space-size=2',
  '--max-old-space-size=768',
  '--v8-pool-size=1',
]

/** Environment variables: few threads and one heap of malloc, and this process's cache of compiled code. */
export const nodeEnvironment = (): Record<string, string> => {
  const cache = getCompileCacheDir()
  return {
    UV_THREADPOOL_SIZE: '2',
    MALLOC_ARENA_MAX: '1',
    // without it each start strips the types anew, with a WebAssembly compiler of 40 MB
    ...(cache && { NODE_COMPILE_CACHE: dirname(cache) }),
  }
}

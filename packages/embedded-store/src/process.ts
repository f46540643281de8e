import { fileURLToPath } from 'node:url'

/*
 * Starts the store as a process of its own: `node ...nodeFlags storeProgram` with `nodeEnvironment`. They keep its
 * memory small, and end a runaway at about 1 GB: the parent starts it anew.
 */
export const storeProgram = fileURLToPath(new URL('main.ts', import.meta.url))

export const nodeFlags = [
  '--disable-warning=ExperimentalWarning',
  '--optimize-for-size',
  // what a command leaves behind is small and short-lived
  '--max-semi-space-size=2',
  '--max-old-space-size=768',
  '--v8-pool-size=1',
]

/** One thread for fsyncs and one for backups; one heap of malloc, which gives back what is free. */
export const nodeEnvironment = {
  UV_THREADPOOL_SIZE: '2',
  MALLOC_ARENA_MAX: '1',
  MALLOC_MMAP_THRESHOLD_: '131072',
  MALLOC_TRIM_THRESHOLD_: '131072',
}

import { log } from '#shared/runtime/log.ts'

const longestMs = 9000
/** npm and the terminal both send Ctrl-C to this process: a second signal within this time is the same one. */
const sameMs = 500

export type Stopping = {
  onStop: (undo: () => Promise<unknown>) => void
  /** Runs all undo functions, the last one first, even if some fail. */
  stop: () => Promise<void>
  /** Resolves when a signal requested a stop and all undo functions have run. */
  stopped: Promise<void>
  /** Checks that a signal has requested a stop. */
  isStopping: () => boolean
}

/**
 * Stops a process in order: the first SIGINT or SIGTERM runs the undo functions, a second one ends the process at once.
 */
export function stopOnSignals(): Stopping {
  const undos: (() => Promise<unknown>)[] = []
  const { promise: stopped, resolve } = Promise.withResolvers<void>()
  let firstAt: number | undefined

  async function stop(): Promise<void> {
    for (let undo = undos.pop(); undo; undo = undos.pop())
      await undo().catch((error: unknown) => log('stop').error({ err: error }, 'a part failed to stop'))
  }

  async function onSignal(signal: NodeJS.Signals): Promise<void> {
    const now = performance.now()
    if (firstAt !== undefined) {
      if (now - firstAt > sameMs) process.exit(signal === 'SIGINT' ? 130 : 143)
      return
    }
    firstAt = now
    log('stop').info({ signal }, 'stopping; guests continue')
    setTimeout(() => process.exit(1), longestMs).unref()
    await stop()
    resolve()
  }
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, (name) => void onSignal(name))
  return { onStop: (undo) => void undos.push(undo), stop, stopped, isStopping: () => firstAt !== undefined }
}

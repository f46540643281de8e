import { log } from '#shared/runtime/log.ts'

const longestMs = 9000
/** npm and the terminal both send Ctrl-C to the same process: what comes this soon after the first is the same one. */
const sameMs = 500

export type Stopping = {
  onStop: (undo: () => Promise<unknown>) => void
  /** Undoes everything, the last one first, whatever fails. */
  stop: () => Promise<void>
  /** Resolves when a signal asked to stop and all was undone. */
  stopped: Promise<void>
  /** Whether a signal has asked to stop. */
  isStopping: () => boolean
}

/** Ends a process well: the first SIGINT or SIGTERM undoes what was begun, a second one ends it at once. */
export function stopOnSignals(): Stopping {
  const undos: (() => Promise<unknown>)[] = []
  const { promise: stopped, resolve } = Promise.withResolvers<void>()
  let firstAt: number | undefined

  async function stop(): Promise<void> {
    for (let undo = undos.pop(); undo; undo = undos.pop())
      await undo().catch((error: unknown) => log('stop').error({ err: error }, 'a part did not stop well'))
  }

  async function onSignal(signal: NodeJS.Signals): Promise<void> {
    const now = performance.now()
    if (firstAt !== undefined) {
      if (now - firstAt > sameMs) process.exit(signal === 'SIGINT' ? 130 : 143)
      return
    }
    firstAt = now
    log('stop').info({ signal }, 'stopping; guests go on')
    setTimeout(() => process.exit(1), longestMs).unref()
    await stop()
    resolve()
  }
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, (name) => void onSignal(name))
  return { onStop: (undo) => void undos.push(undo), stop, stopped, isStopping: () => firstAt !== undefined }
}

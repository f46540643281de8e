import { setTimeout as sleep } from 'node:timers/promises'
import { log } from '#shared/runtime/log.ts'
import type { ExitStatus, Host, HostProcess } from './host.ts'

const firstPauseMs = 200
const longestPauseMs = 10_000
/** A child that ran this long was healthy: the back-off starts again from its beginning. */
const healthyAfterMs = 30_000

/** A supervised child process. */
export type KeptChild = { stop: () => Promise<void> }

/**
 * Starts a child, and restarts it with growing back-off whenever it exits. `start` resolves when the child is ready.
 * @throws the error of the first start
 */
export async function keepRunning(name: string, start: () => Promise<HostProcess>): Promise<KeptChild> {
  const stopping = new AbortController()
  const logger = log(name)
  let child: HostProcess | undefined = await start()

  async function watch(): Promise<void> {
    let pauseMs = firstPauseMs
    while (!stopping.signal.aborted) {
      const since = performance.now()
      if (child) {
        const status = await child.exit.catch((error: unknown) => error)
        child = undefined
        if (stopping.signal.aborted) return
        if (performance.now() - since > healthyAfterMs) pauseMs = firstPauseMs
        logger.error({ pauseMs, ...lastWords(status) }, `${name} ended and is restarted`)
      }
      await sleep(pauseMs, undefined, { signal: stopping.signal }).catch(() => {})
      if (stopping.signal.aborted) return
      pauseMs = Math.min(pauseMs * 2, longestPauseMs)
      child = await start().catch((error: unknown) => {
        logger.error({ pauseMs, err: error }, `${name} does not start`)
        return undefined
      })
    }
  }

  const watching = watch()
  return {
    async stop() {
      stopping.abort()
      await child?.kill()
      await watching
      await child?.kill() // a child that became ready during the stop
    },
  }
}

function lastWords(status: unknown): object {
  if (status instanceof Error) return { err: status }
  const { code, stderr } = status as ExitStatus
  return { code, stderr: lastLines(stderr) }
}

const lastLines = (text: string): string => text.trim().split('\n').slice(-12).join('\n').slice(-2000)

export type ChildOptions = {
  /** Written to standard input, which stays open: a child may take its end for our exit. */
  input?: string
  env?: Record<string, string>
  /** Working folder, whose `.env` the child reads. Default: ours. */
  cwd?: string
  /** Resolves when the child is ready. The signal aborts when the wait is over. */
  ready: (child: HostProcess, signal: AbortSignal) => Promise<void>
  /** Default 15,000. */
  timeoutMs?: number
}

/**
 * Starts a child that ends with this process, also after `kill -9`, and waits until it is ready. A child that exits
 * first or is not ready in time is killed; the error has the end of its stderr.
 */
export async function startChild(
  host: Host,
  program: string,
  args: readonly string[],
  { input, env, cwd, ready, timeoutMs = 15_000 }: ChildOptions,
): Promise<HostProcess> {
  const setpriv = await host.which('setpriv')
  const words = ['--pdeathsig', 'TERM', program, ...args]
  const child = setpriv ? await host.spawn(setpriv, words, { env, cwd }) : await host.spawn(program, args, { env, cwd })
  if (input) child.stdin.write(input)
  const done = new AbortController()
  const ended = child.exit.then(({ code }) => {
    throw new Error(`${program} ended with exit code ${code}`)
  })
  const late = sleep(timeoutMs, undefined, { signal: done.signal }).then(() => {
    throw new Error(`${program} was not ready within ${timeoutMs / 1000} s`)
  })
  ended.catch(() => {})
  late.catch(() => {})
  try {
    await Promise.race([ready(child, done.signal), ended, late])
    child.stdout.resume()
    return child
  } catch (error) {
    await child.kill()
    const said = await child.exit.then(({ stderr }) => lastLines(stderr)).catch(() => '')
    throw new Error(`${(error as Error).message}${said && `; it said: ${said}`}`, { cause: error })
  } finally {
    done.abort()
  }
}

import { setTimeout as sleep } from 'node:timers/promises'
import type { Host } from '#shared/nodes/host/host.ts'

const endsMs = 10_000

/**
 * Ends a child of an earlier process that was killed. The child is identified by its pid file and by `word` among its
 * arguments, so that another process with a reused pid is not touched.
 */
export async function endOrphan(host: Host, pidFile: string, word: string): Promise<void> {
  if (!(await host.stat(pidFile))) return
  const pid = Number((await host.readFile(pidFile)).toString())
  const lives = async () => {
    const words = await host.readFile(`/proc/${pid}/cmdline`).catch(() => Buffer.alloc(0))
    return words.toString().split('\0').includes(word)
  }
  const end = performance.now() + endsMs
  let signal: 'SIGTERM' | 'SIGKILL' = 'SIGTERM'
  while (pid > 1 && (await lives())) {
    try {
      process.kill(pid, signal)
    } catch {
      return
    }
    await sleep(50)
    if (performance.now() > end) signal = 'SIGKILL'
  }
}

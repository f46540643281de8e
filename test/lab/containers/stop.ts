import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { until } from '../wait.ts'

/** Ends engines and all that came of them. */
export async function stopEngines(dir: string): Promise<void> {
  const pid = Number(await readFile(join(dir, 'pid'), 'utf8').catch(() => '0'))
  if (pid === 0) return
  try {
    process.kill(pid, 'SIGTERM')
  } catch {
    return
  }
  await until(() => !existsSync(`/proc/${pid}`), { what: 'the end of the engines', timeoutMs: 30_000 })
}

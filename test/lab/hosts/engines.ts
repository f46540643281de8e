import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { localHost } from '#shared/nodes/host/local/local.ts'
import type { LxdKind } from '#shared/nodes/lxd/engine.ts'
import { until } from '../wait.ts'

const script = fileURLToPath(new URL('engines.sh', import.meta.url))
const host = localHost()

/** Programs that this machine lacks for LXD and Incus in the test's folder. */
export async function missingForEngines(): Promise<string[]> {
  return (await host.runChecked('bash', [script, 'needs'])).stdout.split('\n').filter(Boolean)
}

export type LabEngine = { socket: string; stop: () => Promise<void> }

/** Fetches the programs that Debian 12 does not have into a folder, for all engines that run below it, and more packages. */
export const fetchEngines = (dir: string, more: string[] = []) =>
  host.runChecked('bash', [script, 'fetch', dir, ...more], { timeoutMs: 300_000 })

/** An engine with nothing in it. Its mounts and processes are its own, and end with this process, however that ends. */
export async function startEngine(kind: LxdKind, dir: string): Promise<LabEngine> {
  const data = join(dir, kind)
  const own = ['unshare', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc']
  const engine = await host.spawn('setpriv', ['--pdeathsig', 'KILL', ...own, 'bash', script, 'serve', kind, data])
  engine.stdout.resume()
  const socket = join(data, 'unix.socket')
  const died = engine.exit.then(({ stderr }) => Promise.reject(new Error(`${kind} ended: ${stderr.slice(-2000)}`)))
  const answers = async () =>
    (await host.run('curl', ['-sf', '--unix-socket', socket, 'http://engine/1.0'])).stdout.includes('"auth":"trusted"')
  await Promise.race([died, until(answers, { what: kind, intervalMs: 200 })])
  died.catch(() => {})
  return { socket, stop: () => engine.kill() }
}

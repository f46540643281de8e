import { createInterface } from 'node:readline'
import { join } from 'node:path'
import type { ExitStatus } from '#shared/nodes/host/host.ts'
import { freePort } from '#shared/platform/data-folder.ts'
import { repository } from '../repository.ts'
import type { Machine } from './machine.ts'

/** A Horcrux that a test has started as a user does. */
export type Instance = {
  url: string
  dataDir: string
  /** The lines that it has printed for people. */
  said: () => string
  exit: Promise<ExitStatus>
  signal: (name: 'TERM' | 'INT' | 'KILL') => Promise<void>
}

export const horcrux = join(repository, 'bin/horcrux.js')

/** Runs `horcrux start` on the machine until it says that it is ready; `command` is how, if not as usual. */
export async function startHorcrux(
  machine: Machine,
  env: Record<string, string> = {},
  command: readonly string[] = ['node', horcrux],
): Promise<Instance> {
  const dataDir = env['HORCRUX_DATA'] ?? join(machine.dir, 'data')
  const port = env['HORCRUX_PORT'] ?? String(await freePort(0))
  const settings = { ...env, HORCRUX_DATA: dataDir, HORCRUX_PORT: port }
  // Text for people goes to standard error, which a host returns only at the end: here it is needed at once.
  const child = await machine.spawn('bash', ['-c', 'exec "$@" start 2>&1', 'bash', ...command], settings)
  const lines: string[] = []
  const ready = Promise.withResolvers<void>()
  createInterface({ input: child.stdout }).on('line', (line) => {
    if (!line.startsWith('{')) lines.push(line)
    if (line.includes('openapi.json') || line.includes('/api/cluster/nodes')) ready.resolve()
  })
  const said = () => lines.join('\n')
  const ended = child.exit.then(() => {
    throw new Error(`horcrux start has ended:\n${said()}`)
  })
  ended.catch(() => {})
  await Promise.race([ready.promise, ended])
  const pidFile = join(dataDir, 'run/horcrux.pid')
  return {
    url: `http://127.0.0.1:${port}`,
    dataDir,
    said,
    exit: child.exit,
    async signal(name) {
      // The process ids of the file are those of the machine.
      const { code, stderr } = await machine.run('bash', ['-c', `kill -${name} "$(cat "$0")"`, pidFile])
      if (code !== 0) throw new Error(stderr)
    },
  }
}

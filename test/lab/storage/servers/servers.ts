import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { inject } from 'vitest'
import { localHost } from '#shared/nodes/host/local/local.ts'
import '../../setup.ts'

/** Names of the scripts beside this file. */
type Kind = 'nfs' | 'cifs' | 'iscsi' | 'glusterfs'

const machine = localHost()
const scriptOf = (kind: Kind) => join(import.meta.dirname, `${kind}.sh`)

/** Programs that this machine lacks for a server. */
export const missingFor = async (kind: Kind): Promise<string[]> =>
  (await machine.runChecked('bash', [scriptOf(kind), 'needs'])).stdout.split('\n').filter(Boolean)

/** A server on loopback. `dir`: its folder, as the script says. */
export type LabServer = {
  dir: string
  port: number
  /** Runs a command of the script that is about this server. */
  ask: (command: string, ...words: (string | number)[]) => Promise<void>
  /** Ends it, as a crash does. */
  kill: () => Promise<void>
  /** Starts it again, at the same port. */
  start: () => Promise<void>
}

/** Starts a server for this worker of vitest, or finds it. It ends with the run. @param name of its main process */
export async function startServer(kind: Kind, name: string): Promise<LabServer> {
  const { dir: run, pid } = inject('run')
  const dir = join(run, `${kind}-${process.env['VITEST_POOL_ID']}`)
  const start = async () => void (await machine.runChecked('bash', [scriptOf(kind), 'up', dir, String(pid)]))
  await start()
  return {
    dir,
    port: Number(await readFile(join(dir, 'port'), 'utf8')),
    start,
    ask: async (command, ...words) =>
      void (await machine.runChecked('bash', [scriptOf(kind), command, dir, ...words.map(String)])),
    async kill() {
      const main = (await readFile(join(dir, `${name}.pid`), 'utf8')).trim()
      // The processes of its connections too.
      const children = await machine.run('pgrep', ['-P', main])
      await machine.runChecked('kill', ['-KILL', main, ...children.stdout.split('\n').filter(Boolean)])
    },
  }
}

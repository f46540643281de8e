import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { HostProcess, RunResult } from '#shared/nodes/host/host.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { freePort } from '#shared/platform/data-folder.ts'
import { repository } from '../repository.ts'

/**
 * A machine of its own, but for its network: see machine.sh. Horcrux's data folder and ports are its own too, unless a
 * program is given others; the `.env` of the checkout is empty there.
 */
export type Machine = {
  /** On both machines under the same path; removed with the machine. */
  dir: string
  run: (program: string, args: readonly string[], env?: Record<string, string>) => Promise<RunResult>
  spawn: (program: string, args: readonly string[], env?: Record<string, string>) => Promise<HostProcess>
  /** Words of its processes. */
  processes: () => Promise<string[]>
  remove: () => Promise<void>
}

const script = fileURLToPath(new URL('machine.sh', import.meta.url))

/** Ends only a hopeless wait: a page of documented commands takes minutes on a busy machine. */
const hopelessMs = 280_000

/** @param parent a folder for the machine's own */
export async function startMachine(parent: string): Promise<Machine> {
  const host = localHost()
  await mkdir(parent, { recursive: true })
  const dir = await mkdtemp(join(parent, 'machine-'))
  const namespaces = ['unshare', '--mount', '--pid', '--fork', '--kill-child']
  const words = ['--pdeathsig', 'KILL', ...namespaces, 'tini', '-s', '--', 'bash', script, dir, repository]
  const machine = await host.spawn('setpriv', words)
  const pid = await firstLine(machine)
  if (!pid) throw new Error(`the test's machine does not start: ${(await machine.exit).stderr}`)
  // Entering another mount namespace leads to its root.
  const place = ['env', '-C', repository]
  const enter = (program: string, args: readonly string[]) => ['-t', pid, '-m', '-p', '--', ...place, program, ...args]
  const own = {
    HOME: '/root',
    TMPDIR: join(dir, 'tmp'),
    HORCRUX_DATA: join(dir, 'data'),
    HORCRUX_PORT: String(await freePort(0)),
    HORCRUX_METRICS_PORT: String(await freePort(0)),
  }
  const inside = (env: Record<string, string> = {}) => ({ env: { ...own, ...env } })
  const run: Machine['run'] = (program, args, env) =>
    host.run('nsenter', enter(program, args), { ...inside(env), timeoutMs: hopelessMs })
  return {
    dir,
    run,
    spawn: (program, args, env) => host.spawn('nsenter', enter(program, args), inside(env)),
    async processes() {
      return (await run('ps', ['-eo', 'args='])).stdout.split('\n').filter((line) => line && !line.startsWith('ps '))
    },
    async remove() {
      await machine.kill()
      await host.close()
      await rm(dir, { recursive: true, force: true })
    },
  }
}

async function firstLine({ stdout }: HostProcess): Promise<string | undefined> {
  for await (const line of createInterface({ input: stdout })) return line
  return undefined
}

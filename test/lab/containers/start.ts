import { spawn } from 'node:child_process'
import { mkdir, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { EngineConfig } from '#shared/contracts/cluster/nodes.ts'
import type { Runtime } from '#shared/contracts/container/parts.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { until } from '../wait.ts'

const script = fileURLToPath(new URL('engines.sh', import.meta.url))
const host = localHost()

/** Programs that this machine lacks for an engine of the test's own. */
export async function missingFor(engine: Runtime): Promise<string[]> {
  return (await host.runChecked('bash', [script, 'needs', engine])).stdout.split('\n').filter(Boolean)
}

/** Container engines in a folder. */
export type LabEngines = {
  dir: string
  engines: Runtime[]
  /** As a node's engine_config. */
  config: EngineConfig
  /** A tar archive of busybox. */
  archive: string
}

const sockets = (dir: string) => ({
  docker: { socket: join(dir, 'docker.sock') },
  podman: { socket: join(dir, 'podman.sock') },
  lxd: { socket: join(dir, 'lxd/unix.socket') },
  incus: { socket: join(dir, 'incus/unix.socket') },
})

export const labOf = (dir: string, engines: Runtime[]): LabEngines => ({
  dir,
  engines,
  config: { ...sockets(dir), lxc: { path: join(dir, 'lxc') } },
  archive: join(dir, 'tiny.tar'),
})

async function answers(dir: string, engine: Runtime): Promise<boolean> {
  if (engine === 'lxc') return true
  const { socket } = sockets(dir)[engine]
  const path = engine === 'docker' || engine === 'podman' ? '_ping' : '1.0'
  const { stdout } = await host.run('curl', ['-sf', '--unix-socket', socket, `http://engine/${path}`])
  return stdout === 'OK' || stdout.includes('"auth":"trusted"')
}

/**
 * Starts engines in a folder, which must have a short path; they end with the process `pid`, or by stopEngines.
 * @param programs the folder with the programs of Incus, which Debian 12 does not have
 */
export async function startEngines(
  dir: string,
  engines: Runtime[],
  pid: number,
  programs?: string,
): Promise<LabEngines> {
  await mkdir(dir, { recursive: true })
  if (programs !== undefined) await symlink(programs, join(dir, 'root'))
  // It outlives this worker: the whole run has these engines.
  const words = [script, 'run', dir, String(pid), engines.join(' ')]
  spawn('setsid', ['bash', ...words], { detached: true, stdio: 'ignore' }).unref()
  for (const engine of engines) await until(() => answers(dir, engine), { what: engine, intervalMs: 100 })
  await host.runChecked('bash', [script, 'images', dir, engines.join(' ')], { timeoutMs: 120_000 })
  return labOf(dir, engines)
}

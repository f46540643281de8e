import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { inject } from 'vitest'
import type { EngineConfig } from '#shared/contracts/cluster/nodes.ts'
import type { Runtime } from '#shared/contracts/container/parts.ts'
import { localHost } from '#shared/nodes/host/local/local.ts'
import { fetchEngines } from '../hosts/engines.ts'
import { available } from '../requirements.ts'
import { until } from '../wait.ts'
import '../setup.ts'

const script = fileURLToPath(new URL('engines.sh', import.meta.url))
const host = localHost()

const all: Runtime[] = ['docker', 'podman', 'lxc', 'lxd', 'incus']

async function missingFor(engine: Runtime): Promise<string[]> {
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

const configOf = (dir: string): EngineConfig => ({ ...sockets(dir), lxc: { path: join(dir, 'lxc') } })

async function answers(dir: string, engine: Runtime): Promise<boolean> {
  if (engine === 'lxc') return true
  const { socket } = sockets(dir)[engine]
  const path = engine === 'docker' || engine === 'podman' ? '_ping' : '1.0'
  const { stdout } = await host.run('curl', ['-sf', '--unix-socket', socket, `http://engine/${path}`])
  return stdout === 'OK' || stdout.includes('"auth":"trusted"')
}

/** Starts engines in a folder, which must have a short path; they end with the process `pid`, or by {@link stopEngines}. */
export async function startEngines(dir: string, engines: Runtime[], pid: number): Promise<LabEngines> {
  await mkdir(dir, { recursive: true })
  if (engines.includes('incus')) await fetchOnce(dir)
  // It outlives this worker: the whole run has these engines.
  spawn('setsid', ['bash', script, 'run', dir, String(pid), engines.join(' ')], {
    detached: true,
    stdio: 'ignore',
  }).unref()
  for (const engine of engines) await until(() => answers(dir, engine), { what: engine, intervalMs: 100 })
  await host.runChecked('bash', [script, 'images', dir, engines.join(' ')], { timeoutMs: 120_000 })
  return labOf(dir, engines)
}

/** Programs of Incus, fetched once for a run. */
async function fetchOnce(dir: string): Promise<void> {
  const of = join(inject('run').dir, 'incus')
  if (!existsSync(join(of, 'root'))) {
    await mkdir(of, { recursive: true })
    await fetchEngines(of)
  }
  await symlink(join(of, 'root'), join(dir, 'root'))
}

const labOf = (dir: string, engines: Runtime[]): LabEngines => ({
  dir,
  engines,
  config: configOf(dir),
  archive: join(dir, 'tiny.tar'),
})

/** The container engines of the run that this machine can have: the first file that asks starts them. */
export async function labEngines(): Promise<LabEngines> {
  const engines: Runtime[] = []
  for (const engine of all) if (available(engine, await missingFor(engine))) engines.push(engine)
  const { dir, pid } = inject('run')
  const own = join(dir, 'e')
  const isFirst = await mkdir(own).then(
    () => true,
    () => false,
  )
  if (isFirst) {
    await startEngines(own, engines, pid)
    await writeFile(join(own, 'ready'), '')
  } else
    await until(() => existsSync(join(own, 'ready')), { what: 'the engines of another worker', timeoutMs: 240_000 })
  return labOf(own, engines)
}

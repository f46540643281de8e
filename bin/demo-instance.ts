import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { config, type Endpoints, endpointsFile } from '#shared/config/config.ts'
import { startChild } from '#shared/nodes/host/child.ts'
import type { Host } from '#shared/nodes/host/host.ts'
import { freePort, readJson } from '#shared/platform/data-folder.ts'
import { isLibvirtUp, stopLibvirtd } from '#shared/platform/libvirtd.ts'
import { apiClient } from './api-client.ts'
import { useRunningInstance } from './running-instance.ts'

export type Instance = {
  url: string
  kind: string
  token: () => Promise<string>
  /** Folder for the guest's kernel. */
  folder: string
  leave: () => Promise<void>
  /** Report of the actions of `leave`. */
  left: string
}

const program = fileURLToPath(new URL('horcrux.ts', import.meta.url))

/**
 * Finds a Horcrux for the demo: the one at HORCRUX_URL, or the one running on HORCRUX_DATA, if HORCRUX_TOKEN is set;
 * else starts a temporary one.
 */
export async function findInstance(host: Host): Promise<Instance> {
  const { HORCRUX_URL, HORCRUX_TOKEN } = process.env
  if (HORCRUX_TOKEN && !HORCRUX_URL) useRunningInstance()
  const { dataDir } = config()
  const url = HORCRUX_URL ?? (await readJson<Endpoints>(host, endpointsFile(dataDir))).api_url
  const isThere = url !== undefined && (await isReady(url))
  if (isThere && HORCRUX_TOKEN) return running(host, url, HORCRUX_TOKEN)
  if (isThere)
    process.stdout.write(
      `Horcrux runs at ${url}. This demo uses a temporary one beside it; set HORCRUX_TOKEN=... to use the running one.\n`,
    )
  return temporary(host)
}

function running(host: Host, url: string, token: string): Instance {
  const folder = join(config().allowedPaths[0] ?? config().dataDir, `demo-${randomBytes(3).toString('hex')}`)
  return {
    url,
    kind: 'running',
    token: async () => token,
    folder,
    leave: () => host.remove(folder, { recursive: true }),
    left: 'files of the guest removed',
  }
}

async function temporary(host: Host): Promise<Instance> {
  const folder = await mkdtemp(join(tmpdir(), 'horcrux-demo-'))
  const wasUp = await isLibvirtUp(host)
  const url = `http://127.0.0.1:${await freePort(0)}`
  const password = randomBytes(18).toString('base64url')
  const env = {
    HORCRUX_DATA: folder,
    // Other commands must not take it for the one to use.
    XDG_RUNTIME_DIR: folder,
    HORCRUX_HOST: '127.0.0.1',
    HORCRUX_PORT: new URL(url).port,
    HORCRUX_TLS: 'off',
    HORCRUX_ADMIN_PASSWORD: password,
    HORCRUX_LOG_LEVEL: 'warn',
    HORCRUX_VM_ACCEL: config().vmAccel,
  }
  const clean = () => rm(folder, { recursive: true, force: true })
  const child = await startChild(host, process.execPath, ['--disable-warning=ExperimentalWarning', program, 'start'], {
    env,
    // Another working folder, since a `.env` in ours may name the bus and the store of a running Horcrux.
    cwd: folder,
    ready: (_, signal) => comesUp(url, signal),
    timeoutMs: 60_000,
  }).catch(async (error: unknown) => {
    await clean()
    throw error
  })
  return {
    url,
    kind: 'temporary',
    async token() {
      const body = { username: 'admin', password }
      return (await apiClient(url).send<{ token: string }>('POST', '/auth/login', body)).token
    },
    folder: join(folder, 'guest'),
    async leave() {
      await child.kill()
      await clean()
      if (!wasUp) await stopLibvirtd(host)
    },
    left: 'Horcrux stopped, its files removed',
  }
}

async function isReady(url: string): Promise<boolean> {
  return fetch(`${url}/readyz`).then(
    ({ ok }) => ok,
    () => false,
  )
}

async function comesUp(url: string, signal: AbortSignal): Promise<void> {
  while (!signal.aborted && !(await isReady(url))) await sleep(50)
}

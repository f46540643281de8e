import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type KeptChild, keepRunning, startChild } from '#shared/nodes/host/child.ts'
import type { Host } from '#shared/nodes/host/host.ts'
import { authorization, keepKeys, keysFolder } from '#shared/bus/identity/keys.ts'
import { rememberPort } from './data-folder.ts'

const maxPayloadBytes = 8 * 2 ** 20
const maxMemoryBytes = 256 * 2 ** 20

/**
 * Starts a NATS server with JetStream as a child process, on a loopback port that stays the same. It knows the
 * identities of all services, whose secrets are made and stored here.
 * @returns its address
 */
export async function startEmbeddedBus(host: Host, dataDir: string): Promise<KeptChild & { url: string }> {
  const conf = join(dataDir, 'run', 'nats.conf')
  const lock = join(dataDir, 'run', 'nats.lock')
  const port = await rememberPort(host, dataDir, 'nats')
  const publicKeys = await keepKeys(host, keysFolder(dataDir))
  // nats-server accepts JSON as configuration.
  const settings = {
    listen: `127.0.0.1:${port}`,
    server_name: 'horcrux',
    authorization: authorization(publicKeys),
    max_payload: maxPayloadBytes,
    jetstream: { store_dir: join(dataDir, 'nats'), max_mem: maxMemoryBytes, ...(await durability(host)) },
  }
  await host.writeFile(conf, JSON.stringify(settings), { mode: 0o600 })
  const start = () =>
    // The server of a process that was killed may still be stopping: this one waits for it, by a lock of the kernel.
    startChild(host, 'flock', ['--no-fork', '--wait', '10', lock, 'nats-server', '-c', conf], {
      ready: (_, signal) => listening(host, port, signal),
      timeoutMs: 30_000,
    })
  const child = await keepRunning('nats', start)
  return { ...child, url: `nats://127.0.0.1:${port}` }
}

/** `sync_interval: always` writes a message to disk before it is acknowledged; nats-server 2.9 refuses the setting. */
async function durability(host: Host): Promise<{ sync_interval?: 'always' }> {
  const { stdout } = await host.runChecked('nats-server', ['--version'])
  const [, major, minor] = /v(\d+)\.(\d+)/.exec(stdout) ?? []
  return Number(major) > 2 || Number(minor) >= 10 ? { sync_interval: 'always' } : {}
}

async function listening(host: Host, port: number, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const socket = await host.openSocket({ host: '127.0.0.1', port }).catch(() => undefined)
    socket?.destroy()
    if (socket) return
    await sleep(15)
  }
}

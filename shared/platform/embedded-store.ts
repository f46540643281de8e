import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { nodeEnvironment, nodeFlags, storeProgram } from '@horcrux/embedded-store/process'
import { type KeptChild, keepRunning, startChild } from '#shared/nodes/host/child.ts'
import type { Host, HostProcess } from '#shared/nodes/host/host.ts'
import { rememberPort } from './data-folder.ts'

const words = [...nodeFlags, '--import', fileURLToPath(new URL('strip-types.js', import.meta.url)), storeProgram]
const user = 'horcrux'

/**
 * Starts the embedded store as a child process, on a loopback port that stays the same.
 * @returns its MongoDB address
 */
export async function startEmbeddedStore(
  host: Host,
  dataDir: string,
  password: string,
): Promise<KeptChild & { url: string }> {
  const port = await rememberPort(host, dataDir, 'store')
  const settings = { folder: join(dataDir, 'store'), host: '127.0.0.1', port, user, password }
  const start = () =>
    startChild(host, process.execPath, words, {
      env: nodeEnvironment,
      input: `${JSON.stringify(settings)}\n`,
      ready: saysReady,
    })
  const child = await keepRunning('store', () => severalTimes(start))
  return { ...child, url: `mongodb://${user}:${password}@127.0.0.1:${port}/horcrux?authSource=admin` }
}

/** Retries: the store of a process that was just killed may hold its folder for a moment. */
async function severalTimes<T>(work: () => Promise<T>, more = 4): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (more === 0) throw error
    await sleep(400)
    return severalTimes(work, more - 1)
  }
}

/** The store prints one line of JSON when it listens. */
async function saysReady(child: HostProcess): Promise<void> {
  for await (const _ of createInterface({ input: child.stdout })) return
}

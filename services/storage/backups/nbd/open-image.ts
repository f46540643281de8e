import type { Duplex } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { pathOfSource } from '#shared/contracts/storage/disk-source.ts'
import { UnavailableError } from '#shared/errors.ts'
import type { Host, HostProcess } from '#shared/nodes/host/host.ts'
import { secretObjects, spawnWithSecretFiles } from '#shared/nodes/host/secret-files.ts'
import type { Original } from '../../drivers/driver.ts'
import { connectNbd, type Nbd } from './client.ts'

/** qemu-nbd listens within this time. */
const startMs = 20_000

/** Starts qemu-nbd for one client, after which it ends. It is killed with the process that started it, here or behind SSH. */
async function startServer(host: Host, { source, format, tool }: Original, socket: string, isWritten: boolean) {
  const path = tool?.path ?? pathOfSource(source)
  if (path === null) throw new Error('An image without a path is opened by its tool file')
  const secrets = tool?.secret === undefined ? [] : [tool.secret]
  const mode = isWritten ? ['--discard=unmap', '--detect-zeroes=unmap'] : ['--read-only']
  const words = [...secretObjects(secrets.length), `--socket=${socket}`, `--format=${format}`, ...mode, path]
  const setpriv = await host.which('setpriv')
  return setpriv
    ? spawnWithSecretFiles(host, setpriv, ['--pdeathsig', 'KILL', 'qemu-nbd', ...words], secrets)
    : spawnWithSecretFiles(host, 'qemu-nbd', words, secrets)
}

/** Connects as soon as the server listens. @throws UnavailableError with its words when it ends instead */
async function connect(host: Host, server: HostProcess, path: string): Promise<Duplex> {
  let ended: { code: number; stderr: string } | undefined
  server.exit.then(
    (exit) => (ended = exit),
    (error: Error) => (ended = { code: -1, stderr: error.message }),
  )
  const until = performance.now() + startMs
  for (let pauseMs = 5; ; pauseMs = Math.min(100, pauseMs * 2)) {
    try {
      return await host.openSocket({ path })
    } catch (error) {
      if (ended)
        throw new UnavailableError(
          `qemu-nbd on ${host.describe()} ends with code ${ended.code}: ${ended.stderr.trim()}`,
        )
      if (performance.now() > until) throw error
    }
    await sleep(pauseMs)
  }
}

/**
 * Opens an image on a host through qemu-nbd for as long as the work takes.
 * @param isWritten exclusively; otherwise others may read it as well
 */
export async function withImage<T>(
  host: Host,
  original: Original,
  { isWritten, signal }: { isWritten: boolean; signal: AbortSignal },
  work: (image: Nbd) => Promise<T>,
): Promise<T> {
  // A short path: the address of a Unix socket has at most 107 bytes.
  const folder = (await host.runChecked('mktemp', ['-d', '/tmp/horcrux-nbd-XXXXXXXX'])).stdout.trim()
  let server: HostProcess | undefined
  try {
    server = await startServer(host, original, `${folder}/nbd`, isWritten)
    server.stdout.resume()
    const image = await connectNbd(await connect(host, server, `${folder}/nbd`))
    const abort = () => image.destroy(signal.reason as Error)
    signal.addEventListener('abort', abort, { once: true })
    try {
      signal.throwIfAborted()
      const result = await work(image)
      if (isWritten) await image.flush()
      await image.close()
      const { code, stderr } = await server.exit
      if (code !== 0) throw new UnavailableError(`qemu-nbd on ${host.describe()} ends with code ${code}: ${stderr}`)
      return result
    } finally {
      signal.removeEventListener('abort', abort)
    }
  } finally {
    await server?.kill()
    await host.remove(folder, { recursive: true })
  }
}

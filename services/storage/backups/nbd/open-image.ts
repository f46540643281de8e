import type { Duplex } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { pathOfSource } from '#shared/contracts/storage/disk-source.ts'
import { UnavailableError } from '#shared/errors.ts'
import type { Host, HostProcess } from '#shared/nodes/host/host.ts'
import { secretObjects, spawnWithSecretFiles } from '#shared/nodes/host/secret-files.ts'
import type { Original } from '../../drivers/driver.ts'
import { connectNbd, type Nbd } from './client.ts'
import { type Digests, startDigests } from './digests.ts'

/** qemu-nbd listens within this time. */
const startMs = 20_000

/** Starts qemu-nbd, which ends after its last client. It is killed with the process that started it, here or behind SSH. */
async function startServer(host: Host, { source, format, tool }: Original, socket: string, isWritten: boolean) {
  const path = tool?.path ?? pathOfSource(source)
  if (path === null) throw new Error('An image without a path is opened by its tool file')
  const secrets = tool?.secret === undefined ? [] : [tool.secret]
  // The second client is the one that hashes on the node.
  const mode = isWritten ? ['--discard=unmap', '--detect-zeroes=unmap'] : ['--read-only']
  const words = [
    ...secretObjects(secrets.length),
    `--socket=${socket}`,
    `--format=${format}`,
    '--shared=2',
    ...mode,
    path,
  ]
  const setpriv = await host.which('setpriv')
  return setpriv
    ? spawnWithSecretFiles(host, setpriv, ['--pdeathsig', 'KILL', 'qemu-nbd', ...words], secrets)
    : spawnWithSecretFiles(host, 'qemu-nbd', words, secrets)
}

/** Resolves with true when the server has begun to speak, and with false when it has closed the connection. */
function speaks(socket: Duplex): Promise<boolean> {
  return new Promise((resolve) => {
    const told = () => resolve(socket.readableLength > 0)
    socket.once('readable', told).once('end', told).once('close', told)
  })
}

/** Connects as soon as the server listens. @throws UnavailableError with its words when it ends instead */
async function connect(host: Host, server: HostProcess, path: string, isBulk: boolean): Promise<Duplex> {
  let ended: { code: number; stderr: string } | undefined
  server.exit.then(
    (exit) => (ended = exit),
    (error: Error) => (ended = { code: -1, stderr: error.message }),
  )
  const until = performance.now() + startMs
  for (let pauseMs = 5; ; pauseMs = Math.min(100, pauseMs * 2)) {
    try {
      const socket = await ((isBulk && host.openBulk) || host.openSocket)({ path })
      if (await speaks(socket)) return socket
      socket.destroy()
      throw new UnavailableError(`qemu-nbd on ${host.describe()} does not answer`)
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

type Opening = { isWritten: boolean; signal: AbortSignal; isBulk?: boolean; digestedBytes?: number }

/**
 * Opens an image on a host through qemu-nbd for as long as the work takes.
 * @param isWritten exclusively; otherwise others may read it as well
 * @param isBulk most of its bytes are read or written here
 * @param digestedBytes size of the disk: the work gets the ids of its chunks from the node, if that is another machine and has
 *   Python
 */
export async function withImage<T>(
  host: Host,
  original: Original,
  { isWritten, signal, isBulk = true, digestedBytes }: Opening,
  work: (image: Nbd, digests: Digests | null) => Promise<T>,
): Promise<T> {
  // A short path: the address of a Unix socket has at most 107 bytes.
  const folder = (await host.runChecked('mktemp', ['-d', '/tmp/horcrux-nbd-XXXXXXXX'])).stdout.trim()
  let server: HostProcess | undefined
  let digests: Digests | null = null
  try {
    server = await startServer(host, original, `${folder}/nbd`, isWritten)
    server.stdout.resume()
    const socket = await connect(host, server, `${folder}/nbd`, isBulk)
    // A socket that stays half open would keep its ssh.
    const image = await connectNbd(socket).catch((error: unknown) => {
      socket.destroy()
      throw error
    })
    const abort = () => {
      image.destroy(signal.reason as Error)
      void digests?.close()
    }
    signal.addEventListener('abort', abort, { once: true })
    try {
      signal.throwIfAborted()
      if (digestedBytes !== undefined && host.openBulk)
        digests = await startDigests(host, `${folder}/nbd`, digestedBytes)
      const result = await work(image, digests)
      await digests?.close()
      if (isWritten) await image.flush()
      await image.close()
      const { code, stderr } = await server.exit
      if (code !== 0) throw new UnavailableError(`qemu-nbd on ${host.describe()} ends with code ${code}: ${stderr}`)
      return result
    } finally {
      signal.removeEventListener('abort', abort)
      image.destroy(new UnavailableError('The image was closed'))
    }
  } finally {
    await digests?.close()
    await server?.kill()
    await host.remove(folder, { recursive: true })
  }
}

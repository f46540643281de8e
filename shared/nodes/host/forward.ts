import { rmSync } from 'node:fs'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import type { Forward, HostCore, SocketTarget } from './host.ts'

const folderPrefix = 'horcrux-forward-'
/** Folders of this process's forwards, removed on exit also without `close`. */
const folders = new Set<string>()
process.on('exit', () => folders.forEach((folder) => rmSync(folder, { recursive: true, force: true })))

/** Removes folders left by killed processes. */
const swept = memo(async () => {
  for (const name of await readdir(tmpdir())) {
    const pid = /^horcrux-forward-(\d+)-/.exec(name)?.[1]
    if (pid && !isRunning(Number(pid))) await rm(join(tmpdir(), name), { recursive: true, force: true }).catch(() => {})
  }
})

function memo<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined
  return () => (made ??= make())
}

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

/**
 * Listens on a Unix socket in a new folder of mode 0700, and connects each client to `target` through the host. If the
 * host cannot open the target, the client is disconnected at once.
 */
export async function forwardSocket(host: Pick<HostCore, 'openSocket'>, target: SocketTarget): Promise<Forward> {
  await swept()
  const path = join(await mkdtemp(join(tmpdir(), `${folderPrefix}${process.pid}-`)), 's')
  folders.add(dirname(path))
  const sockets = new Set<Socket>()
  const server = createServer({ allowHalfOpen: true }, (local) => {
    sockets.add(local)
    local.once('close', () => sockets.delete(local)).on('error', () => {})
    void joinRemote(local)
  })

  async function joinRemote(local: Socket): Promise<void> {
    try {
      const remote = await host.openSocket(target)
      await Promise.all([pipeline(local, remote), pipeline(remote, local)])
    } catch {
      local.destroy()
    }
  }

  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(path, resolve))
  return {
    path,
    async close() {
      const closed = new Promise((resolve) => server.close(resolve))
      sockets.forEach((socket) => socket.destroy())
      await closed
      folders.delete(dirname(path))
      await rm(dirname(path), { recursive: true, force: true })
    },
  }
}

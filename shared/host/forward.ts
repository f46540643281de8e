import { rmSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import type { Forward, HostCore, SocketTarget } from './host.ts'

/** The folders of this process's forwards, so that even an exit without `close` leaves no file. */
const folders = new Set<string>()
process.on('exit', () => folders.forEach((folder) => rmSync(folder, { recursive: true, force: true })))

/**
 * Listens on a Unix socket in a new 0700 folder and joins each connection with one that the host opens to `target`.
 * When the host cannot open it, the local connection is closed at once.
 */
export async function forwardSocket(host: Pick<HostCore, 'openSocket'>, target: SocketTarget): Promise<Forward> {
  const path = join(await mkdtemp(join(tmpdir(), 'horcrux-')), 's')
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

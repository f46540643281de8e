import { constants } from 'node:fs'
import { access, stat } from 'node:fs/promises'
import { type Socket, connect } from 'node:net'
import { join } from 'node:path'
import { UnavailableError } from '#shared/errors.ts'
import { closedError } from '../errors.ts'
import type { Host, HostCore, HostProcess, SocketTarget } from '../host.ts'
import { fileWorkers } from './file-workers.ts'
import { localFiles } from './files.ts'
import { spawnLocal } from './process.ts'
import { completeHost } from '../run.ts'

const defaultSearchPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
const hostName = 'this machine'

/** The host for this machine. `searchPath` has the form of PATH. */
export function localHost({ searchPath = defaultSearchPath }: { searchPath?: string } = {}): Host {
  const running = new Set<HostProcess>()
  const sockets = new Set<Socket>()
  let closed = false

  const core: HostCore = {
    ...localFiles(hostName),
    describe: () => hostName,
    async spawn(program, args, options = {}) {
      if (closed) throw closedError(hostName)
      const child = await spawnLocal(program, args, options, searchPath)
      running.add(child)
      const forget = () => void running.delete(child)
      child.exit.then(forget, forget)
      return child
    },
    which: (program) => which(program, searchPath),
    async openSocket(target) {
      if (closed) throw closedError(hostName)
      const socket = await openLocalSocket(target)
      sockets.add(socket)
      socket.once('close', () => sockets.delete(socket))
      return socket
    },
    async close() {
      closed = true
      sockets.forEach((socket) => socket.destroy())
      await Promise.all([...running].map((child) => child.kill()))
    },
  }
  const host = completeHost(core)
  return { ...host, filesOfLane: fileWorkers(host) }
}

async function which(program: string, searchPath: string): Promise<string | null> {
  const candidates = program.includes('/') ? [program] : searchPath.split(':').map((folder) => join(folder, program))
  for (const path of candidates) {
    const runnable = await access(path, constants.X_OK).then(
      () => true,
      () => false,
    )
    if (runnable && (await stat(path)).isFile()) return path
  }
  return null
}

function openLocalSocket(target: SocketTarget): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ ...target, allowHalfOpen: true })
    const where = 'path' in target ? target.path : `${target.host}:${target.port}`
    const fail = (cause: Error) =>
      reject(new UnavailableError(`Nothing answers at ${where} on ${hostName}: ${cause.message}`, { cause }))
    socket.once('error', fail).once('connect', () => {
      socket.off('error', fail)
      resolve(socket)
    })
  })
}

import type { Duplex } from 'node:stream'
import { log } from '#shared/runtime/log.ts'
import { UnavailableError } from '#shared/errors.ts'
import { closedError } from '../errors.ts'
import type { Host, HostCore, HostProcess, SocketTarget } from '../host.ts'
import { completeHost } from '../run.ts'
import { createSlots } from '../slots.ts'
import { openBulk } from './bulk.ts'
import { channelDuplex, openChannel } from './channel.ts'
import { type SshConnection, type SshTarget, createConnection } from './connection.ts'
import { sshFiles } from './files.ts'
import { type SshExec, spawnSsh } from './process.ts'

export { type SshTarget, scanHostKey } from './connection.ts'

// OpenSSH allows ten sessions per connection (MaxSessions). One is for SFTP, one is reserved to kill programs.
const maxSessions = 8
// Streams may last for hours. The difference is left for short commands.
const maxStreams = 6
const startGraceMs = 6000

const findScript = `IFS=:
case $1 in */*) set -- "$1"; [ -f "$1" ] && [ -x "$1" ] && printf %s "$1"; exit;; esac
for d in $PATH; do [ -f "$d/$1" ] && [ -x "$d/$1" ] && { printf %s "$d/$1"; exit; }; done
exit 1`

/** A host over SSH: one connection, made on first use, with a pinned host key, kept alive, reconnected after a loss. */
export function sshHost(target: SshTarget): Host {
  const name = `${target.user}@${target.address}:${target.port}`
  const connection = createConnection(target, name)
  const slots = createSlots(maxSessions)
  const streams = createSlots(maxStreams)
  const running = new Set<HostProcess>()
  const bulk = new Set<Duplex>()
  let closed = false
  // Closing needs the connection itself, to kill running programs.
  const guarded: SshConnection = {
    ...connection,
    use: () => (closed ? Promise.reject(closedError(name)) : connection.use()),
  }

  async function spawn(...[program, args, options = {}]: Parameters<HostCore['spawn']>): Promise<HostProcess> {
    if (closed) throw closedError(name)
    const release = await slots.take(options.signal)
    await orAborted(guarded.use(), options.signal, 0).catch((error: unknown) => {
      release()
      throw error
    })
    // The program may be running from here on: a cancel waits until it was started and killed, but not for a dead host.
    const child = await orAborted(spawnSsh(exec, program, args, options, release), options.signal, startGraceMs)
    running.add(child)
    const forget = () => void running.delete(child)
    child.exit.then(forget, forget)
    return child
  }

  async function which(program: string): Promise<string | null> {
    const { code, stdout } = await host.run('sh', ['-c', findScript, 'sh', program])
    return code === 0 ? stdout : null
  }

  /** Connections that have had a session since they forward sockets. */
  const direct = new WeakSet<object>()

  /**
   * Has OpenSSH's server send each packet at once. It sets TCP_NODELAY of a connection with its first session. On one that only
   * forwards sockets, the second of two packets waits some 40 ms for the acknowledgement of the first one, such as the reply to
   * a call of libvirt behind an event; the pause of a moving guest is longer by that.
   */
  function sendAtOnce(client: object): void {
    if (direct.has(client)) return
    direct.add(client)
    host.run('true', []).catch(() => direct.delete(client))
  }

  const exec: SshExec = { connection, name, which }
  const host: Host = completeHost({
    ...sshFiles(guarded, name, (program, args, options) => host.run(program, args, options)),
    describe: () => name,
    spawn,
    which,
    async openSocket(socket) {
      const opened = await openChannel(guarded, name, openerOf(socket), (cause) => refusedSocket(socket, name, cause))
      sendAtOnce(opened.client)
      return channelDuplex(opened, name)
    },
    async close() {
      closed = true
      for (const socket of bulk) socket.destroy()
      await Promise.all([...running].map((child) => child.kill().catch(() => {})))
      await connection.close()
    },
  })

  return {
    ...host,
    pin: connection.pin,
    async openBulk(socket) {
      await guarded.use()
      const shown = connection.shown()
      const opened =
        shown &&
        (await openBulk(target, shown, socket, name).catch((error: unknown) => {
          log('host').warn({ err: error, host: name }, 'data goes through ssh2: the program ssh cannot connect')
          return null
        }))
      if (!opened) return host.openSocket(socket)
      bulk.add(opened)
      opened.once('close', () => bulk.delete(opened))
      return opened
    },
    compressed: () => sshHost({ ...target, hostKey: connection.pinned(), isCompressed: true }),
    async spawn(program, args, options = {}) {
      const release = await streams.take(options.signal)
      try {
        const child = await spawn(program, args, options)
        child.exit.then(release, release)
        return child
      } catch (error) {
        release()
        throw error
      }
    },
  }
}

/** The result of `work`; after an abort its reason, at the latest after `graceMs`. */
function orAborted<T>(work: Promise<T>, signal: AbortSignal | undefined, graceMs: number): Promise<T> {
  if (!signal) return work
  return new Promise((resolve, reject) => {
    let timer: NodeJS.Timeout | undefined
    const onAbort = () => {
      timer = setTimeout(() => reject(signal.reason as Error), graceMs)
    }
    const forget = () => {
      clearTimeout(timer)
      signal.removeEventListener('abort', onAbort)
    }
    if (signal.aborted) onAbort()
    signal.addEventListener('abort', onAbort, { once: true })
    work.then(resolve, reject).then(forget, forget)
  })
}

const openerOf =
  (socket: SocketTarget): Parameters<typeof openChannel>[2] =>
  (client, done) => {
    if ('path' in socket) client.openssh_forwardOutStreamLocal(socket.path, done)
    else client.forwardOut('127.0.0.1', 0, socket.host, socket.port, done)
  }

function refusedSocket(socket: SocketTarget, name: string, cause: Error & { reason?: unknown }): UnavailableError {
  const where = 'path' in socket ? socket.path : `${socket.host}:${socket.port}`
  // RFC 4254 section 5.1: 1 = administratively prohibited, 3 = unknown channel type, as of a Dropbear of 2022.
  const reasons: Record<string, string> = {
    1: 'sshd does not permit forwarding',
    3: 'its SSH server cannot forward to that; OpenSSH can',
  }
  const why = reasons[String(cause.reason)] ?? 'nothing answers there'
  return new UnavailableError(`Cannot open ${where} on ${name}: ${why} (${cause.message})`, { cause })
}

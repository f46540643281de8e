import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises'
import { once } from 'node:events'
import { type Socket, connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { UnavailableError } from '#shared/errors.ts'
import type { HostProcess, SocketTarget } from '../host.ts'
import { spawnLocal } from '../local/process.ts'
import { startAgent } from './agent.ts'
import type { SshTarget } from './connection.ts'
import type { HostKey } from './host-key.ts'

const searchPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
const loginMs = 10_000

/** The options of ssh beside the forward: no file of the user or the machine counts, and only the pinned key. */
function optionsOf({ port, user }: SshTarget, folder: string, { type }: HostKey): string[] {
  const options = {
    BatchMode: 'yes',
    // Both ends have AES in hardware; ChaCha20, the default, takes more than twice as long.
    Ciphers: '^aes128-gcm@openssh.com',
    Compression: 'no',
    ConnectTimeout: String(loginMs / 1000),
    ControlPath: 'none',
    ExitOnForwardFailure: 'yes',
    GlobalKnownHostsFile: '/dev/null',
    HostKeyAlgorithms: type === 'ssh-rsa' ? 'rsa-sha2-512,rsa-sha2-256' : type,
    HostKeyAlias: 'horcrux',
    IdentityAgent: join(folder, 'agent'),
    IdentityFile: 'none',
    PreferredAuthentications: 'publickey',
    ServerAliveCountMax: '2',
    ServerAliveInterval: '4',
    StreamLocalBindMask: '0177',
    StrictHostKeyChecking: 'yes',
    UserKnownHostsFile: join(folder, 'known_hosts'),
  }
  const words = Object.entries(options).flatMap(([name, value]) => ['-o', `${name}=${value}`])
  return ['-F', 'none', '-N', '-T', '-p', String(port), '-l', user, ...words]
}

const remoteOf = (socket: SocketTarget): string => ('path' in socket ? socket.path : `${socket.host}:${socket.port}`)

/** Waits until ssh listens. @throws UnavailableError with its words when it ends instead */
async function listening(ssh: HostProcess, path: string, name: string): Promise<void> {
  const until = performance.now() + loginMs
  let ended: string | undefined
  ssh.exit.then(
    ({ stderr }) => (ended = stderr.trim()),
    (error: Error) => (ended = error.message),
  )
  for (;;) {
    if (await stat(path).catch(() => null)) return
    if (ended !== undefined) throw new UnavailableError(`ssh does not connect to ${name}: ${ended}`)
    if (performance.now() > until) throw new UnavailableError(`ssh does not connect to ${name} in time`)
    await sleep(10)
  }
}

/**
 * Connects to a socket of a host by the program ssh, for large data: it encrypts in a process of its own, several times as
 * fast as ssh2 does here. It ends with the socket, and with this process. The key is signed with through an agent that is
 * there for the login only.
 * @param hostKey the key that the host has shown, and which is the pinned one
 * @returns null for a kind of key that the agent does not have
 * @throws UnavailableError
 */
export async function openBulk(
  target: SshTarget,
  hostKey: HostKey,
  socket: SocketTarget,
  name: string,
): Promise<Socket | null> {
  const folder = await mkdtemp(join(tmpdir(), 'horcrux-ssh-'))
  const local = join(folder, 'local')
  let ssh: HostProcess | undefined
  const end = async () => {
    await ssh?.kill().catch(() => {})
    await rm(folder, { recursive: true, force: true })
  }
  try {
    const agent = await startAgent(target, join(folder, 'agent'))
    if (!agent) return await end().then(() => null)
    try {
      await writeFile(join(folder, 'known_hosts'), `horcrux ${hostKey.publicKey}\n`)
      const words = [...optionsOf(target, folder, hostKey), '-L', `${local}:${remoteOf(socket)}`, '--', target.address]
      ssh = await spawnLocal('setpriv', ['--pdeathsig', 'KILL', 'ssh', ...words], {}, searchPath)
      ssh.stdout.resume()
      await listening(ssh, local, name)
    } finally {
      agent.close()
    }
    const opened = connect({ path: local, allowHalfOpen: true })
    await once(opened, 'connect')
    opened.on('error', () => {})
    opened.once('close', () => void end())
    return opened
  } catch (error) {
    await end()
    throw error
  }
}

import type { Client } from 'ssh2'
import { type AppError, UnavailableError, invalid } from '#shared/errors.ts'
import { closedError } from '../errors.ts'
import { type HostKey, describeHostKey, parsePinnedKey } from './host-key.ts'
import { ssh2 } from './library.ts'

/** Address and keys of a host over SSH. */
export type SshTarget = {
  address: string
  port: number
  user: string
  /** Text of an OpenSSH or PEM private key. */
  privateKey: string
  passphrase?: string | undefined
  /** Pinned host key: `SHA256:…` or `ssh-ed25519 AAAA…`. */
  hostKey: string
  /** Compresses after the login, where sshd does (`Compression` in sshd_config, on unless said). */
  isCompressed?: boolean | undefined
}

export type SshConnection = {
  /** The live connection; connects if there is none. @throws UnavailableError with the cause */
  use: () => Promise<Client>
  /** Checks that this is still the live connection. ssh2 reports the end of a connection by many different errors. */
  isLive: (client: Client) => boolean
  /** The next `use` makes a new connection. */
  drop: (client: Client) => void
  /** The next connection is made with this host key; an open one goes on. */
  pin: (hostKey: string) => void
  /** The host key of the next connection. */
  pinned: () => string
  /** The host key that the last connection has shown, which was the pinned one. */
  shown: () => HostKey | undefined
  close: () => Promise<void>
}

const connectTimeoutMs = 10_000
// A dead peer is noticed after 12 s: two unanswered pings and a third interval.
const keepAliveMs = 4000
const maxBackOffMs = 5000

/** A connection that is made on first use and again after a loss; after a failure with back-off. */
export function createConnection(target: SshTarget, name: string): SshConnection {
  let current: Promise<Client> | undefined
  let open: Client | undefined
  let failure: { error: unknown; count: number; retryAt: number } | undefined
  let closed = false
  let pinned = target.hostKey
  let shown: HostKey | undefined

  async function connectOnce(): Promise<Client> {
    try {
      const client = await connect({ ...target, hostKey: pinned }, name, (key) => (shown = key))
      if (closed) {
        client.destroy()
        throw closedError(name)
      }
      failure = undefined
      open = client
      const dropped = () => drop(client)
      client.once('error', dropped).once('end', dropped).once('close', dropped)
      return client
    } catch (error) {
      const count = (failure?.count ?? 0) + 1
      failure = { error, count, retryAt: performance.now() + Math.min(125 * 2 ** count, maxBackOffMs) }
      current = undefined
      throw error
    }
  }

  function drop(client: Client): void {
    if (open !== client) return
    open = undefined
    current = undefined
  }

  return {
    async use() {
      if (closed) throw closedError(name)
      if (!current && failure && performance.now() < failure.retryAt) throw failure.error
      current ??= connectOnce()
      return current
    },
    isLive: (client) => open === client,
    drop,
    pin(hostKey) {
      pinned = hostKey
      failure = undefined
    },
    pinned: () => pinned,
    shown: () => shown,
    async close() {
      closed = true
      const client = open
      if (!client) return
      drop(client)
      await new Promise<void>((resolve) => {
        client.once('close', () => resolve())
        client.destroy()
      })
    },
  }
}

function connect(target: SshTarget, name: string, onKey: (shown: HostKey) => void): Promise<Client> {
  const pinned = parsePinnedKey(target.hostKey)
  const client = new (ssh2().Client)()
  let stage: 'connect' | 'handshake' | 'login' = 'connect'
  let refusal: AppError | undefined

  return new Promise((resolve, reject) => {
    const fail = (error: Error & { code?: string; level?: string }) => {
      reject(refusal ?? connectError(error, stage, target, name))
      client.destroy()
    }
    client.on('error', fail) // Stays attached: an error without a listener would end the process.
    client.once('close', () => fail(new Error('the connection was closed')))
    client.once('connect', () => (stage = 'handshake'))
    client.once('handshake', () => (stage = 'login'))
    client.once('ready', () => {
      client.setNoDelay(true)
      client.setMaxListeners(0)
      resolve(client)
    })
    const hostVerifier = (wire: Buffer): boolean => {
      const shown = describeHostKey(wire)
      if (shown.fingerprint !== pinned.fingerprint) refusal = keyMismatch(name, pinned.fingerprint, shown)
      else onKey(shown)
      return refusal === undefined
    }
    try {
      client.connect({
        host: target.address,
        port: target.port,
        username: target.user,
        privateKey: target.privateKey,
        ...(target.passphrase === undefined ? {} : { passphrase: target.passphrase }),
        algorithms: {
          ...(pinned.algorithms && { serverHostKey: pinned.algorithms }),
          ...(target.isCompressed && { compress: ['zlib@openssh.com', 'none'] }),
        },
        hostVerifier,
        readyTimeout: connectTimeoutMs,
        keepaliveInterval: keepAliveMs,
        keepaliveCountMax: 2,
      })
    } catch (error) {
      reject(invalid('private_key', `the private key for ${name} cannot be used: ${(error as Error).message}`))
    }
  })
}

function keyMismatch(name: string, expected: string, shown: HostKey): UnavailableError {
  const why = `expected ${expected}, the host shows ${shown.fingerprint} (${shown.type})`
  return new UnavailableError(
    `The host key of ${name} is not the pinned one: ${why}. The host was reinstalled, or another machine answers at its address. Nothing was sent; register the new key once you have checked it on the host.`,
    { details: { reason: 'host_key', expected, shown: shown.fingerprint } },
  )
}

type Reason = 'refused' | 'unreachable' | 'unknown_name' | 'timeout' | 'authentication' | 'lost'

const socketReasons: Record<string, [Reason, string]> = {
  ECONNREFUSED: ['refused', 'nothing listens on that port (connection refused)'],
  EHOSTUNREACH: ['unreachable', 'no route to the host'],
  ENETUNREACH: ['unreachable', 'the network is unreachable'],
  ETIMEDOUT: ['timeout', 'no answer in time'],
  ENOTFOUND: ['unknown_name', 'the name is not known'],
  EAI_AGAIN: ['unknown_name', 'the name cannot be resolved now'],
  ECONNRESET: ['lost', 'the host closed the connection'],
}

function connectError(
  error: Error & { code?: string; level?: string },
  stage: 'connect' | 'handshake' | 'login',
  target: Pick<SshTarget, 'user'>,
  name: string,
): UnavailableError {
  const [reason, why] = explain(error, stage, target.user)
  return new UnavailableError(`Cannot connect to ${name}: ${why}`, { details: { reason }, cause: error })
}

function explain(error: Error & { code?: string; level?: string }, stage: string, user: string): [Reason, string] {
  if (error.level === 'client-authentication')
    return ['authentication', `the host refused the key for user ${user} (authentication failed)`]
  if (error.level === 'client-timeout' && stage === 'connect') return ['timeout', 'no answer within 10 s']
  if (error.level === 'client-timeout') return ['timeout', `the ${stage} did not finish within 10 s`]
  const known = error.code ? socketReasons[error.code] : undefined
  return known ?? ['lost', `the ${stage} failed: ${error.message}`]
}

/** Reads a server's host key without logging in. @throws UnavailableError */
export function scanHostKey(address: string, port: number): Promise<HostKey> {
  const client = new (ssh2().Client)()
  const name = `${address}:${port}`
  let stage: 'connect' | 'handshake' = 'connect'
  return new Promise((resolve, reject) => {
    client.on('error', (error) => reject(connectError(error, stage, { user: '' }, name)))
    client.once('connect', () => (stage = 'handshake'))
    client.once('close', () => reject(connectError(new Error('the connection was closed'), stage, { user: '' }, name)))
    const hostVerifier = (wire: Buffer): boolean => {
      resolve(describeHostKey(wire))
      return false // enough is known: ssh2 disconnects
    }
    client.connect({ host: address, port, username: 'none', hostVerifier, readyTimeout: connectTimeoutMs })
  })
}

import { Duplex, Readable, Writable } from 'node:stream'
import type { Client, ClientChannel } from 'ssh2'
import { setTimeout as sleep } from 'node:timers/promises'
import { UnavailableError } from '#shared/errors.ts'
import type { SshConnection } from './connection.ts'

export function lost(name: string, cause?: unknown): UnavailableError {
  return new UnavailableError(`The connection to ${name} was lost`, { details: { reason: 'lost' }, cause })
}

/** A channel and its connection. `exited` is the program's exit code or signal; it may stay pending. */
export type Opened = { client: Client; channel: ClientChannel; exited: Promise<[number | null, string | undefined]> }
type Callback = (error: Error | undefined, channel: ClientChannel) => void

/** Retry period for a session that sshd has no free slot for. */
const sessionsFullMs = 5000

/**
 * Opens a channel on the live connection; on a new one if the old one is found dead before anything was sent. `refused`
 * translates the server's refusal.
 */
export async function openChannel(
  connection: SshConnection,
  name: string,
  open: (client: Client, done: Callback) => void,
  refused: (error: Error & { reason?: unknown }) => Error,
): Promise<Opened> {
  let dead = false
  for (;;) {
    const client = await connection.use()
    try {
      return await new Promise<Opened>((resolve, reject) => {
        open(client, (error, channel) => {
          if (error) return reject(error)
          // Listeners are added here: the exit of a short program may be in the packet that ssh2 is parsing.
          const exited: Opened['exited'] = new Promise((told) => {
            channel.once('exit', (code: number | null, signal?: string) => told([code, signal]))
          })
          resolve({ client, channel, exited })
        })
      })
    } catch (error) {
      const unsent = (error as Error).message === 'Not connected'
      if (unsent && !dead) {
        dead = true
        connection.drop(client)
      } else if (unsent || !connection.isLive(client)) throw lost(name, error)
      else throw refused(error as Error)
    }
  }
}

/**
 * Retries while sshd has no free session (MaxSessions): it still counts a session for a moment after its end, and the
 * configured limit may be low.
 */
export async function whileFull<T>(open: () => Promise<T>): Promise<T> {
  const end = performance.now() + sessionsFullMs
  for (let waitMs = 5; ; waitMs = Math.min(2 * waitMs, 200)) {
    try {
      return await open()
    } catch (error) {
      // RFC 4254 section 5.1: 2 = connect failed, which is what OpenSSH says here.
      const { reason } = ((error as Error).cause ?? {}) as { reason?: unknown }
      if (reason !== 2 || performance.now() > end) throw error
      await sleep(waitMs)
    }
  }
}

/** The output of a channel. Unlike ssh2's own stream it fails on a lost connection instead of ending as if complete. */
export function channelReadable({ client, channel }: Opened, name: string): Readable {
  const stream = new Readable({
    read: () => void channel.resume(),
    destroy(error, done) {
      client.off('close', onLost)
      channel.resume() // ssh2 closes a channel only after its data was read
      done(error)
    },
  })
  const onLost = () => stream.destroy(lost(name))
  client.once('close', onLost)
  channel.on('data', (chunk: Buffer) => {
    if (!stream.destroyed && !stream.push(chunk)) channel.pause()
  })
  // After a lost connection ssh2 ends its streams, too, shortly before the client's close event.
  channel.once('end', () => setImmediate(() => stream.destroyed || stream.push(null)))
  stream.on('error', () => {})
  return stream
}

/** The input of a channel. Unlike ssh2's own stream it fails on a closed channel instead of waiting for ever. */
export function channelWritable({ client, channel, exited }: Opened, name: string): Writable {
  let waiting: ((error?: Error) => void) | undefined
  const stream = new Writable({
    write(chunk: Buffer, _encoding, done) {
      waiting = done
      channel.write(chunk, () => {
        if (waiting !== done) return
        waiting = undefined
        done()
      })
    },
    final(done) {
      channel.end()
      done()
    },
    destroy(error, done) {
      client.off('close', onClosed)
      channel.off('close', onClosed)
      done(error)
    },
  })
  const onClosed = () => {
    const error = Object.assign(new Error(`The other end on ${name} was closed`), { code: 'EPIPE' })
    if (!stream.writableFinished && !stream.destroyed) stream.destroy(error)
  }
  client.once('close', onClosed)
  channel.once('close', onClosed)
  void exited.then(onClosed)
  stream.on('error', () => {})
  return stream
}

/** A channel as a duplex socket. */
export function channelDuplex(opened: Opened, name: string): Duplex {
  const readable = channelReadable(opened, name)
  const writable = channelWritable(opened, name)
  const duplex = Duplex.from({ readable, writable })
  duplex.once('close', () => opened.channel.close())
  duplex.on('error', () => {})
  return duplex
}

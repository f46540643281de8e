import { once } from 'node:events'
import type { Socket } from 'node:net'
import { ConflictError, UnavailableError } from '#shared/errors.ts'
import type { Host } from '#shared/nodes/host/host.ts'
import type { ByteSource } from '../../backups/nbd/serve-handshake.ts'
import type { GuestImage } from './image.ts'
import { type Outcome, outcomeOf } from './outcome.ts'
import { startGuest } from './start.ts'

/** Boots under emulation, beside other load. */
const bootMs = 120_000
/** A longer line of the guest ends it. */
const mostLineBytes = 8192

/** A running guest that reads disks. */
export type Guest = {
  /**
   * Runs a program in the guest, one at a time, and gives its output as fast as it is taken. Nobody may stop to read before
   * the end, except by closing the guest.
   * @param words the program and its arguments, without NUL
   * @throws ConflictError with the words of a program that fails, after its output; UnavailableError when the guest has ended
   * or is silent for longer than `silentMs`
   */
  run: (words: readonly (string | Buffer)[], silentMs: number) => AsyncGenerator<Buffer, void>
  /** Kills it. */
  close: () => Promise<void>
}

/** Lines of the guest one by one. @throws UnavailableError for one without an end */
async function* linesOf(socket: Socket): AsyncGenerator<string, void> {
  let rest = ''
  for await (const piece of socket as AsyncIterable<Buffer>) {
    rest += piece.toString('latin1')
    for (let end = rest.indexOf('\n'); end >= 0; end = rest.indexOf('\n')) {
      yield rest.slice(0, end)
      rest = rest.slice(end + 1)
    }
    if (rest.length > mostLineBytes) throw new UnavailableError('The guest that reads files sends no lines')
  }
}

/** A timer that is set back, and rejects in the end. */
function silence(ms: number) {
  const { promise, reject } = Promise.withResolvers<never>()
  promise.catch(() => undefined)
  const timer = setTimeout(
    () => reject(new UnavailableError(`The guest that reads files was silent for ${ms / 1000} s`)),
    ms,
  )
  return { over: promise, reset: () => void timer.refresh(), stop: () => clearTimeout(timer) }
}

/** Boots a guest with disks. @throws UnavailableError */
export async function bootGuest(host: Host, image: GuestImage, disks: ReadonlyMap<string, ByteSource>): Promise<Guest> {
  const { control, data, ended, hide, close } = await startGuest(host, image, disks)
  const lines = linesOf(control)
  const nextLine = async (): Promise<string> => {
    const { value, done } = await Promise.race([lines.next(), ended])
    // Its ports are closed when QEMU ends, which says why.
    return done ? ended : value
  }
  const boot = silence(bootMs)
  try {
    await Promise.race([nextLine(), boot.over])
    await hide()
  } catch (error) {
    await close()
    throw error
  } finally {
    boot.stop()
  }

  let last: Promise<unknown> = Promise.resolve()

  async function* output(words: readonly (string | Buffer)[], silentMs: number): AsyncGenerator<Buffer, void> {
    const argument = (word: string | Buffer) => Buffer.concat([Buffer.from(word), Buffer.alloc(1)])
    control.write(`${Buffer.concat(words.map(argument)).toString('base64')}\n`)
    const limit = silence(silentMs)
    let outcome: Outcome | undefined
    const over = nextLine().then((line) => (outcome = outcomeOf(line)))
    over.catch(() => undefined)
    let given = 0
    try {
      while (!outcome || given < outcome.bytes) {
        const piece = data.read() as Buffer | null
        if (piece) {
          given += piece.length
          yield piece
          limit.reset()
          continue
        }
        await Promise.race([once(data, 'readable'), ...(outcome ? [] : [over]), ended, limit.over])
        limit.reset()
      }
    } finally {
      limit.stop()
    }
    if (given > outcome.bytes) throw new UnavailableError('The guest that reads files sends more than it says')
    if (outcome.code !== 0) throw new ConflictError(outcome.words || `The guest ends with code ${outcome.code}`)
  }

  return {
    async *run(words, silentMs) {
      const before = last
      const { promise, resolve } = Promise.withResolvers<void>()
      last = promise
      await before
      try {
        yield* output(words, silentMs)
      } finally {
        resolve()
      }
    },
    close,
  }
}

import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import type { Params, Result } from '#shared/contract/contract.ts'
import { type containerStreams, streamPartBytes } from '#shared/contracts/container/streams.ts'
import { ConflictError, NotFoundError } from '#shared/errors.ts'
import type { Ended, Process } from '../drivers/process.ts'
import { bufferOutput, type OutputBuffer } from './output-buffer.ts'

type Of<K extends 'read' | 'write' | 'control'> = Params<typeof containerStreams, K>
export type Signal = NonNullable<Of<'control'>['signal']>

/** A stream that this replica has. */
type Running = {
  process: Process
  buffer: OutputBuffer
  /** Ends a stream whose gateway never came. */
  unread: NodeJS.Timeout
  /** null: it has no command of its own. */
  signal: ((name: Signal) => Promise<void>) | null
  /** Kills a command that Horcrux has begun. */
  kill: (() => Promise<void>) | null
  /** True once its end was told: a command that has ended by itself may leave others in the background. */
  hasEnded: boolean
  /** The end of the process, once its output is over. */
  ending: Promise<Ended> | null
}

const running = new Map<string, Running>()
/** Time that one call waits for a command which does not read its input. */
const takenWithinMs = 1500
/** Time until the first read. */
const unreadMs = 30_000

export function keepStream(id: string, stream: Omit<Running, 'buffer' | 'unread' | 'hasEnded' | 'ending'>): void {
  const unread = setTimeout(() => void endStream(id).catch(() => undefined), unreadMs)
  running.set(id, {
    ...stream,
    unread,
    hasEnded: false,
    ending: null,
    buffer: bufferOutput(stream.process.output, streamPartBytes),
  })
}

/** Ends a stream of this replica, if it has it, and the command of it that runs. */
export async function endStream(id: string): Promise<void> {
  const stream = running.get(id)
  if (!stream) return
  running.delete(id)
  clearTimeout(stream.unread)
  try {
    if (!stream.hasEnded) await stream.kill?.()
  } finally {
    stream.process.close()
  }
}

export const ownStreams = (): string[] => [...running.keys()]

/** @throws NotFoundError for a stream that another replica has, or that has ended */
function streamOf(id: string): Running {
  const stream = running.get(id)
  if (!stream) throw new NotFoundError(`Stream '${id}' has ended`)
  return stream
}

export async function readStream({ stream_id, wait }: Of<'read'>): Promise<Result<typeof containerStreams, 'read'>> {
  const stream = streamOf(stream_id)
  const { buffer, process } = stream
  clearTimeout(stream.unread)
  const pieces = await buffer.take(wait * 1000)
  const parts = pieces.map(({ stream, bytes }) => ({ stream, data: bytes.toString('base64') }))
  if (parts.length > 0 || !buffer.isOver()) return { parts, end: null }
  stream.ending ??= process.end()
  const ended = await within(stream.ending, Math.max(wait, 1) * 1000)
  if (!ended) return { parts, end: null }
  stream.hasEnded = true
  const { code, reason } = ended
  return { parts, end: { exit_code: code, reason } }
}

/** @returns false while the input takes no more: the same bytes must not be sent again */
export async function writeStream({ stream_id, data, end }: Of<'write'>): Promise<boolean> {
  const { input } = streamOf(stream_id).process
  if (!input) throw new ConflictError('This stream takes no input')
  if (input.destroyed || input.writableEnded) return true
  if (data !== '') input.write(Buffer.from(data, 'base64'))
  if (end) input.end()
  if (!input.writableNeedDrain) return true
  const timeout = AbortSignal.timeout(takenWithinMs)
  await once(input, 'drain', { signal: timeout }).catch(() => undefined)
  return !input.writableNeedDrain
}

export async function controlStream({ stream_id, resize, signal }: Of<'control'>): Promise<null> {
  const stream = streamOf(stream_id)
  if (resize) await stream.process.resize(resize)
  if (!signal) return null
  if (!stream.signal) throw new ConflictError('Only a command that this WebSocket has begun gets signals')
  await stream.signal(signal)
  return null
}

/** The result, or undefined after the time. */
async function within<T>(work: Promise<T>, ms: number): Promise<T | undefined> {
  const over = new AbortController()
  try {
    return await Promise.race([work, delay(ms, undefined, { signal: over.signal })])
  } finally {
    over.abort()
  }
}

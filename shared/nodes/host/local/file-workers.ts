import { join } from 'node:path'
import { UnavailableError, unpackError } from '#shared/errors.ts'
import { log } from '#shared/runtime/log.ts'
import { requireCurrent } from '#shared/runtime/request-context.ts'
import type { Host, HostFiles, HostProcess, Lane } from '../host.ts'
import { createSlots, type Slots } from '../slots.ts'
import type { FileAnswer, FileCall } from './file-worker.ts'
import { readFrames, writeFrame } from './frames.ts'

const program = join(import.meta.dirname, 'file-worker.ts')
/** Calls that a worker carries out at a time; with so many, further ones go to another worker. */
const threads = 64
/** Calls of one lane that are in workers at a time. */
const callsPerLane = 8
/** A call without an answer for so long is late; with so many late calls, a worker gets no further ones. */
const [lateMs, mostLate] = [1000, 8]
/** A worker without calls for so long ends. */
const idleMs = 60_000

/** Methods that change nothing. */
const harmless: ReadonlySet<keyof HostFiles> = new Set(['readFile', 'stat', 'list', 'space', 'realpath'] as const)
const methods: (keyof HostFiles)[] = [...harmless, 'writeFile', 'createExclusive', 'mkdir', 'remove', 'rename']

type Worker = {
  call: (method: FileCall['method'], args: unknown[]) => Promise<unknown>
  /** Calls whose answer has not come. */
  open: () => number
  late: () => number
  /** Gets no further call, and ends with the last open one. */
  retire: () => void
}

/** @param onEnd called when the process has ended */
async function startWorker(host: Pick<Host, 'describe' | 'spawn'>, onEnd: () => void): Promise<Worker> {
  const options = { env: { UV_THREADPOOL_SIZE: String(threads) } }
  const words = ['--disable-warning=ExperimentalWarning', '--max-semi-space-size=1', program]
  const child: HostProcess = await host.spawn(process.execPath, words, options)
  const answers = new Map<number, { since: number; settle: (answer: FileAnswer | Error) => void }>()
  let count = 0
  let isRetired = false
  const endIfDone = () => {
    if (isRetired && answers.size === 0) void child.kill()
  }
  readFrames(child.stdout, (value) => {
    const answer = value as FileAnswer
    answers.get(answer.id)?.settle(answer)
    answers.delete(answer.id)
    endIfDone()
  })
  const ended = () => {
    const error = new UnavailableError(`The worker for files on ${host.describe()} has ended`)
    for (const { settle } of answers.values()) settle(error)
    answers.clear()
    onEnd()
  }
  child.exit.then(ended, ended)
  return {
    call: (method, args) =>
      new Promise((resolve, reject) => {
        const id = ++count
        const settle = (answer: FileAnswer | Error) => {
          if (answer instanceof Error) reject(answer)
          else if ('error' in answer) reject(unpackError(answer.error))
          else resolve(answer.result)
        }
        answers.set(id, { since: performance.now(), settle })
        writeFrame(child.stdin, { id, method, args, host: host.describe() } satisfies FileCall)
      }),
    open: () => answers.size,
    late: () => [...answers.values()].filter(({ since }) => performance.now() - since > lateMs).length,
    retire: () => {
      isRetired = true
      endIfDone()
    },
  }
}

/**
 * File methods of this machine that run in another process. A file system that does not answer stops threads there, and
 * none of this process, which has four; a worker with too many stuck calls is replaced.
 */
export function fileWorkers(host: Pick<Host, 'describe' | 'spawn'>): (lane: Lane) => HostFiles {
  let current: Promise<Worker> | undefined
  let idle: NodeJS.Timeout | undefined
  const lanes = new Map<string, { slots: Slots; users: number }>()

  /** Calls a method in a worker that has room for it. The check and the call are one turn: many calls may wait for a start. */
  async function callSome(method: FileCall['method'], args: unknown[], signal: AbortSignal): Promise<unknown> {
    for (;;) {
      const started: Promise<Worker> = (current ??= startWorker(host, () => {
        if (current === started) current = undefined
      }))
      const found = await started.catch((error: unknown) => {
        if (current === started) current = undefined
        throw error
      })
      signal.throwIfAborted()
      if (found.late() < mostLate && found.open() < threads) return found.call(method, args)
      if (current === started) {
        log('files').warn({ late: found.late(), open: found.open() }, 'a worker for files has too many open calls')
        current = undefined
        found.retire()
      }
    }
  }

  /** Ends the worker when it has had no call for a time. */
  function rest(): void {
    clearTimeout(idle)
    idle = setTimeout(async () => {
      const started = current
      const found = await started?.catch(() => undefined)
      if (!found) return
      if (found.open() > 0) return rest()
      if (current === started) current = undefined
      found.retire()
    }, idleMs).unref()
  }

  /** Takes a place in a lane. @returns the function that gives it back */
  async function enter(lane: string, signal: AbortSignal): Promise<() => void> {
    const there = lanes.get(lane) ?? { slots: createSlots(callsPerLane), users: 0 }
    lanes.set(lane, there)
    there.users++
    const leave = () => {
      if (--there.users === 0) lanes.delete(lane)
    }
    try {
      const giveBack = await there.slots.take(signal)
      return () => {
        giveBack()
        leave()
      }
    } catch (error) {
      leave()
      throw error
    }
  }

  async function call(lane: string, method: FileCall['method'], args: unknown[], signal: AbortSignal) {
    const leave = await enter(lane, signal)
    try {
      if (!harmless.has(method)) await requireCurrent()
      return await callSome(method, args, signal)
    } finally {
      leave()
      rest()
    }
  }

  async function callInTime({ lane, timeoutMs }: Lane, method: FileCall['method'], args: unknown[]): Promise<unknown> {
    const limit = new AbortController()
    if (!Number.isFinite(timeoutMs)) return call(lane, method, args, limit.signal)
    const late = new Promise<never>((_, reject) => {
      const why = `${method} of ${String(args[0])} on ${host.describe()} did not finish within ${timeoutMs / 1000} s`
      limit.signal.addEventListener('abort', () => reject(new UnavailableError(why)))
    })
    const timer = setTimeout(() => limit.abort(), timeoutMs)
    try {
      return await Promise.race([call(lane, method, args, limit.signal), late])
    } finally {
      clearTimeout(timer)
    }
  }

  return (lane) =>
    // The program of a worker runs the method of this name, with these parameters.
    Object.fromEntries(
      methods.map((method) => [method, (...args: unknown[]) => callInTime(lane, method, args)]),
    ) as HostFiles
}

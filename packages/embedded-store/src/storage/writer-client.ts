import { Worker } from 'node:worker_threads'
import { CommandError } from '../errors.ts'
import type { FromWriter, ToWriter } from './writer-messages.ts'

/** The writer's thread as the server sees it. */
export type Writer = {
  /** Runs a write command; the answer comes when it is on the disk. */
  run: (message: Uint8Array) => Promise<Uint8Array>
  close: () => Promise<void>
  /** Rejects when the thread dies. */
  failed: Promise<never>
}

type Waiting = { resolve: (answer: Uint8Array) => void; reject: (error: Error) => void }

/** Starts the thread; it has opened the file when the promise resolves. */
export const startWriter = async (dataDir: string): Promise<Writer> => {
  const worker = new Worker(new URL('./writer.ts', import.meta.url), { workerData: { dataDir } })
  const waiting = new Map<number, Waiting>()
  const ready = Promise.withResolvers<void>()
  const closed = Promise.withResolvers<void>()
  const failed = Promise.withResolvers<never>()
  failed.promise.catch(() => {})
  let nextId = 1
  let isClosing = false

  const fail = (error: Error): void => {
    ready.reject(error)
    closed.resolve()
    if (!isClosing) failed.reject(error)
    for (const { reject } of waiting.values()) reject(new CommandError(91, `The store has stopped: ${error.message}`))
    waiting.clear()
  }

  worker.on('message', (message: FromWriter) => {
    if (message.kind === 'ready') ready.resolve()
    else if (message.kind === 'closed') closed.resolve()
    else
      for (const { id, answer } of message.answers) {
        waiting.get(id)?.resolve(answer)
        waiting.delete(id)
      }
  })
  worker.on('error', (error) => fail(error instanceof Error ? error : new Error(String(error))))
  worker.on('exit', (code) => fail(new Error(`the writer ended with code ${code}`)))

  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has no origin
  const send = (message: ToWriter): void => worker.postMessage(message)
  await ready.promise
  return {
    run: (message) => {
      const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>()
      if (isClosing) reject(new CommandError(91, 'The store is stopping'))
      else {
        const id = nextId++
        waiting.set(id, { resolve, reject })
        send({ kind: 'job', id, message, receivedMs: Date.now() })
      }
      return promise
    },
    close: async () => {
      if (!isClosing) send({ kind: 'close' })
      isClosing = true
      await closed.promise
    },
    failed: failed.promise,
  }
}

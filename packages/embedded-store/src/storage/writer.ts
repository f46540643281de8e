import { type Command, parseCommand } from '../wire/command.ts'
import { timeLimit } from '../wire/fields.ts'
import { commandName, type Message } from '../wire/messages.ts'
import { WRITES } from '../commands/writes.ts'
import { CommandError, endsTransaction, errorReply, toCommandError } from '../errors.ts'
import { encode } from '../values/bson.ts'
import type { Catalog } from './catalog.ts'
import { type Disk, openDisk } from './disk.ts'

/** Runs write commands one after the other. */
export type Writer = {
  /** Runs a write command; the answer comes when it is on the disk. */
  run: (message: Message) => Promise<Uint8Array>
  close: () => Promise<void>
  /** Rejects when the disk refuses an fsync. */
  failed: Promise<never>
}

type Job = {
  message: Message
  receivedMs: number
  resolve: (answer: Uint8Array) => void
  reject: (error: Error) => void
}

/** Commands of a batch share one transaction and one fsync; a long batch would hold up reads. */
const MAX_BATCH = 500
const BATCH_MS = 15

const failure = (error: unknown): Uint8Array => encode(errorReply(toCommandError(error)))

const execute = (catalog: Catalog, { message, receivedMs }: Job): Uint8Array => {
  const command: Command = parseCommand(message, commandName(message))
  const run = WRITES[command.name]
  if (!run) throw new CommandError(59, `no such command: '${command.name}'`)
  const limitMs = timeLimit(command.body)
  catalog.deadlineMs = limitMs ? receivedMs + limitMs : undefined
  const answer = run(catalog, command)
  catalog.checkTime()
  return encode(answer, 10334)
}

/** Commits the queue in batches: each command in a savepoint of one transaction, answered after the fsync. */
const createBatches = (catalog: Catalog) => {
  const { db, statement } = catalog.storage
  const sql = (text: string): void => void statement(text).run()

  const rollBackTo = (version: number): void => {
    sql('ROLLBACK TO command')
    sql('RELEASE command')
    catalog.reloadIfChanged(version)
  }

  /** Runs a command so that it leaves everything or nothing; throws only what has ended the whole transaction. */
  const runInSavepoint = (job: Job): Uint8Array => {
    const { version } = catalog
    sql('SAVEPOINT command')
    try {
      const answer = execute(catalog, job)
      sql('RELEASE command')
      return answer
    } catch (error) {
      if (endsTransaction(error) || !db.isTransaction) throw error
      rollBackTo(version)
      return failure(error)
    }
  }

  /** Commits as many jobs as fit into a batch, and takes them off the queue. @returns their answers */
  const commit = (queue: Job[]): Uint8Array[] => {
    const { version } = catalog
    const endMs = performance.now() + BATCH_MS
    sql('BEGIN IMMEDIATE')
    try {
      const answers: Uint8Array[] = []
      for (const job of queue) {
        answers.push(runInSavepoint(job))
        if (answers.length >= MAX_BATCH || performance.now() > endMs) break
      }
      sql('COMMIT')
      return answers
    } catch (error) {
      if (db.isTransaction) db.exec('ROLLBACK')
      catalog.reloadIfChanged(version)
      throw error
    }
  }

  /** When the shared transaction fails, as on a full disk, the first command gets one of its own. */
  return (queue: Job[]): Uint8Array[] => {
    try {
      return commit(queue)
    } catch (error) {
      if (queue.length === 1) return [failure(error)]
    }
    try {
      return commit(queue.slice(0, 1))
    } catch (error) {
      return [failure(error)]
    }
  }
}

/** Starts the writer on an open database. */
export const startWriter = async (catalog: Catalog, file: string): Promise<Writer> => {
  const disk: Disk = await openDisk(catalog.storage.db, file)
  const commitBatch = createBatches(catalog)
  const changes = (): unknown => catalog.storage.statement('SELECT total_changes() AS n').get()?.['n']
  const queue: Job[] = []
  const failed = Promise.withResolvers<never>()
  failed.promise.catch(() => {})
  let isStopped = false
  let working: Promise<void> | undefined

  const work = async (): Promise<void> => {
    while (queue.length > 0) {
      // lets the messages that have arrived join the batch, and reads run between two batches
      const { promise, resolve } = Promise.withResolvers<void>()
      setImmediate(resolve)
      await promise
      const before = changes()
      const answers = commitBatch(queue)
      const jobs = queue.splice(0, answers.length)
      try {
        // a delete that found nothing has nothing to bring to the disk
        if (changes() !== before) await disk.flush()
      } catch (error) {
        isStopped = true
        failed.reject(error)
        const stopped = new CommandError(91, `The store has stopped: ${String(error)}`)
        for (const { reject } of [...jobs, ...queue.splice(0)]) reject(stopped)
        return
      }
      for (const [i, { resolve: answer }] of jobs.entries()) answer(answers[i] as Uint8Array)
    }
  }

  return {
    run: (message) => {
      const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>()
      if (isStopped) reject(new CommandError(91, 'The store is stopping'))
      else queue.push({ message, receivedMs: performance.now(), resolve, reject })
      working ??= work().finally(() => {
        working = undefined
      })
      return promise
    },
    close: async () => {
      isStopped = true
      await working
      const { db } = catalog.storage
      if (!db.isOpen) return
      // the last checkpoint is SQLite's own
      db.exec('PRAGMA synchronous = FULL')
      db.close()
      await disk.close()
    },
    failed: failed.promise,
  }
}

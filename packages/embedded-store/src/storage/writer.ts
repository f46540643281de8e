import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads'
import { asBuffer, encode } from '../values/bson.ts'
import { type Catalog, openCatalog, refresh } from './catalog.ts'
import { parseCommand } from '../wire/command.ts'
import { timeLimit } from '../wire/fields.ts'
import { WRITES } from '../commands/writes.ts'
import { CommandError, endsTransaction, errorReply, toCommandError } from '../errors.ts'
import { openWriter } from './storage.ts'
import { commandName, parseMessage } from '../wire/messages.ts'
import type { FromWriter, Job, ToWriter } from './writer-messages.ts'

/**
 * The thread that writes. It takes all commands that wait, runs each in its own savepoint of one transaction, commits
 * once and answers then: commands of different connections share one fsync, and no answer is given before it.
 */
const port = parentPort
if (!port) throw new Error('writer.ts runs as a worker of server.ts')

const storage = openWriter((workerData as { dataDir: string }).dataDir)
const catalog: Catalog = openCatalog(storage)
refresh(catalog)

/** Large bulk writes are not put together for long, so that the first of them does not wait for the last. */
const MAX_BATCH_BYTES = 2 * 1024 * 1024
const MAX_BATCH = 500

const sql = (text: string): void => void storage.statement(text).run()

const rollback = (): void => {
  if (storage.db.isTransaction) storage.db.exec('ROLLBACK')
}

const execute = (job: Job): Uint8Array => {
  const message = parseMessage(asBuffer(job.message))
  const command = parseCommand(message, commandName(message))
  const run = WRITES[command.name]
  if (!run) throw new CommandError(59, `no such command: '${command.name}'`)
  refresh(catalog)
  const answer = run(catalog, command)
  const limitMs = timeLimit(command.body)
  if (limitMs && Date.now() - job.receivedMs > limitMs) throw new CommandError(50, 'operation exceeded time limit')
  return encode(answer, 10334)
}

const failure = (error: unknown): Uint8Array => encode(errorReply(toCommandError(error)))

/** Runs a command so that it leaves everything or nothing; throws only what has ended the whole transaction. */
const runInSavepoint = (job: Job): Uint8Array => {
  sql('SAVEPOINT command')
  try {
    const answer = execute(job)
    sql('RELEASE command')
    return answer
  } catch (error) {
    if (endsTransaction(error) || !storage.db.isTransaction) throw error
    sql('ROLLBACK TO command')
    sql('RELEASE command')
    return failure(error)
  }
}

const commit = (jobs: Job[]): Uint8Array[] => {
  sql('BEGIN IMMEDIATE')
  try {
    const answers = jobs.map(runInSavepoint)
    sql('COMMIT')
    return answers
  } catch (error) {
    rollback()
    throw error
  }
}

/** When the shared transaction fails, as on a full disk, each command gets its own, and its own answer. */
const commitEach = (job: Job): Uint8Array => {
  try {
    return commit([job])[0] as Uint8Array
  } catch (error) {
    return failure(error)
  }
}

const answerAll = (jobs: Job[]): Uint8Array[] => {
  try {
    return commit(jobs)
  } catch {
    return jobs.map(commitEach)
  }
}

const queue: Job[] = []
let closing = false

const take = (message: ToWriter): void => {
  if (message.kind === 'close') closing = true
  else queue.push(message)
}

const takeWaiting = (): void => {
  for (let next = receiveMessageOnPort(port); next; next = receiveMessageOnPort(port)) take(next.message as ToWriter)
}

const nextBatch = (): Job[] => {
  const jobs: Job[] = []
  let bytes = 0
  while (queue.length > 0 && jobs.length < MAX_BATCH && bytes < MAX_BATCH_BYTES) {
    const job = queue.shift() as Job
    bytes += job.message.length
    jobs.push(job)
  }
  return jobs
}

const post = (message: FromWriter): void => port.postMessage(message)

port.on('message', (message: ToWriter) => {
  take(message)
  takeWaiting()
  while (queue.length > 0) {
    const jobs = nextBatch()
    const answers = answerAll(jobs)
    post({ kind: 'answers', answers: jobs.map(({ id }, i) => ({ id, answer: answers[i] as Uint8Array })) })
    takeWaiting()
  }
  if (!closing) return
  storage.db.close()
  post({ kind: 'closed' })
  port.close()
})

post({ kind: 'ready' })
